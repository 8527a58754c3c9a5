"""One neuron: input current, membrane potential, threshold, spike, and the surrogate derivative.

    python examples/01_one_neuron.py [--out FOLDER]

Draws `one_neuron.png` and prints the numbers behind it (needs matplotlib: pip install '.[plot]').
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import minisnn
from minisnn.solvers import numpy_parallel as paper
from minisnn.surrogate import fast_sigmoid_derivative
from minisnn.training import plotting


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture")
    out = parser.parse_args(arguments).out

    # Three inputs, one sample of 60 steps: two excitatory inputs and one that holds the neuron back.
    n_steps, decay, threshold = 60, np.asarray(0.9), 1.0
    times = np.array([[5, 9, 13, 30, 33, 36, 50], [7, 11, 16, 31, 34, 37, 51], [12, 20, 26, 42, 45, 55, 58]])
    spikes = np.zeros((1, n_steps, 3))
    for neuron, when in enumerate(times):
        spikes[0, when, neuron] = 1
    weight, bias = np.array([[0.35], [0.3], [-0.3]]), np.zeros(1)

    trace = minisnn.single_spike_forward(spikes, weight, bias, decay, threshold=threshold)
    current = paper.input_current(spikes, weight, bias)
    faulty = paper.crossings(trace.membrane, threshold)
    z = paper.double_sum(faulty)
    tau = int(trace.spike_times[0, 0])

    print("  t  current  membrane  crossing   z  spike")
    for t in range(max(0, tau - 2), tau + 5):
        print(
            f"{t:3d}  {current[0, t, 0]:7.3f}  {trace.membrane[0, t, 0]:8.3f}  {int(faulty[0, t, 0]):8d}"
            f"  {z[0, t, 0]:3d}  {int(trace.spikes[0, t, 0]):5d}"
        )
    print(
        f"the neuron crosses in {faulty.sum()} steps and fires once, in step {tau}: the only one with z = 1"
    )

    figure = Figure(figsize=(8, 9), layout="constrained")
    rows = figure.subplots(5, 1, sharex=False, height_ratios=(1, 1, 2, 1, 1.6))
    steps = np.arange(n_steps)
    for neuron, when in enumerate(times):
        rows[0].scatter(when, np.full(len(when), neuron), marker="|", s=90, color=plotting.COLOURS[neuron])
    rows[0].set(ylabel="input", yticks=range(3), ylim=(-0.6, 2.6), title="A neuron that fires at most once")
    rows[1].bar(steps, current[0, :, 0], color="0.5")
    rows[1].set(ylabel="current I\n(thresholds/step)")
    rows[2].plot(
        steps, trace.membrane[0, :, 0], color=plotting.COLOURS[0], label="membrane potential V, no reset"
    )
    rows[2].axhline(threshold, color="0.3", linestyle="--", linewidth=1, label="threshold")
    rows[2].fill_between(
        steps, threshold, trace.membrane[0, :, 0], where=faulty[0, :, 0], color=plotting.COLOURS[4], alpha=0.5,
        step=None, label="crossings: 'faulty' spikes",
    )  # fmt: skip
    rows[2].plot(
        tau, trace.membrane[0, tau, 0], "o", color=plotting.COLOURS[1], label=f"the spike, step {tau}"
    )
    rows[2].set(ylabel="V (thresholds)", ylim=(-0.3, 1.9))
    rows[2].legend(loc="upper left", fontsize="small", ncols=2)
    rows[3].semilogy(steps, np.maximum(z[0, :, 0], 0.5), drawstyle="steps-post", color=plotting.COLOURS[2])
    rows[3].plot(tau, 1, "o", color=plotting.COLOURS[1])
    rows[3].annotate("z = 1: the spike", (tau, 1), (tau - 15, 12), arrowprops={"arrowstyle": "->"})
    rows[3].set(ylabel="double sum z", xlabel="time (steps)", yticks=[0.5, 1, 10, 100, 1000])
    rows[3].set_yticklabels(["0", "1", "10", "100", "1000"])
    for row in rows[:4]:
        row.set_xlim(-1, n_steps)
    u = np.linspace(-1, 1, 401)
    for colour, scale in zip(plotting.COLOURS, (1.0, 10.0, 100.0)):
        rows[4].plot(u, fast_sigmoid_derivative(u, scale), color=colour, label=f"s = {scale:g}")
    rows[4].set(xlabel="V minus threshold", ylabel="surrogate h'")
    rows[4].legend(title="steepness", fontsize="small")
    print(f"picture {plotting.save(figure, out / 'one_neuron.png')}")


if __name__ == "__main__":
    main()
