"""One neuron from input to spike, without reset, and beside it the conventional neuron that is reset at every spike.

    python examples/01_one_neuron.py [--out FOLDER]

Draws `one_neuron.png` and prints the numbers behind it (needs matplotlib: pip install '.[plot]').
"""

import argparse
from pathlib import Path

import numpy as np

import minisnn
from minisnn.solvers import numpy_parallel as paper
from minisnn.surrogate import fast_sigmoid_derivative
from minisnn.training import colours

try:
    from matplotlib.figure import Figure

    from minisnn.training import plotting
except ImportError as error:
    raise SystemExit(f"needs matplotlib: pip install '.[plot]' in a clone of minisnn ({error})") from None


def ticks(axes, steps, colour, name):
    """A row of spikes, with its name."""
    axes.vlines(steps, 0, 1, color=colour, linewidth=2.5)
    axes.set(ylim=(-0.2, 1.2), yticks=[])
    axes.set_ylabel(name, rotation=0, ha="right", va="center")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture")
    out = parser.parse_args(arguments).out

    # Three inputs, one sample of 60 steps: two excitatory inputs and one that holds the neuron back.
    n_steps, decay, threshold = 60, np.asarray(0.9), 1.0
    times = (
        [5, 9, 13, *range(30, 42, 2), 52],
        [7, 11, 16, *range(31, 43, 2), 53],
        [12, 20, 26, 45, 48, 56, 58],
    )
    spikes = np.zeros((1, n_steps, 3))
    for neuron, when in enumerate(times):
        spikes[0, when, neuron] = 1
    layer = spikes, np.array([[0.35], [0.3], [-0.3]]), np.zeros(1), decay

    trace = minisnn.single_spike_forward(*layer, threshold=threshold)
    conventional = minisnn.multi_spike_forward(*layer, threshold=threshold)
    current = paper.input_current(*layer[:3])[0, :, 0]
    faulty = paper.crossings(trace.membrane, threshold)
    z = paper.double_sum(faulty)[0, :, 0]
    membrane, faulty = trace.membrane[0, :, 0], faulty[0, :, 0]
    tau, fired = int(trace.spike_times[0, 0]), np.flatnonzero(conventional.spikes[0, :, 0])

    print("  t  current  membrane  crossing   z  spike")
    for t in range(max(0, tau - 2), tau + 5):
        print(
            f"{t:3d}  {current[t]:7.3f}  {membrane[t]:8.3f}  {int(faulty[t]):8d}  {z[t]:3d}  {int(t == tau):5d}"
        )
    print(
        f"the neuron crosses in {faulty.sum()} steps and fires once, in step {tau}: the only one with z = 1"
    )
    print(f"with a reset at every spike it fires in the steps {', '.join(map(str, fired))}")

    figure, steps = Figure(figsize=(11, 8), layout="constrained"), np.arange(n_steps)
    rows = figure.subplots(6, 2, height_ratios=(0.8, 0.9, 2.2, 0.4, 1.2, 0.4))
    for side in (0, 1):
        inputs, currents, potential = rows[:3, side]
        for neuron, when in enumerate(times):
            inputs.scatter(when, np.full(len(when), neuron), marker="|", s=70, color=colours.INPUT)
        inputs.set(yticks=range(3), yticklabels=["+", "+", "-"], ylim=(-0.6, 2.6))
        currents.bar(steps, current, color=colours.CURRENT)
        potential.axhline(threshold, color=colours.THRESHOLD, linestyle="--", linewidth=1)
        potential.set(ylim=(-0.5, 2.9))
    rows[0, 0].set(ylabel="input", title="Fires at most once: no reset, no loop over time")
    rows[0, 1].set_title("Conventional: reset at every spike, so step by step")
    rows[1, 0].set_ylabel("current I")
    rows[2, 0].set_ylabel("potential V\n(thresholds)")

    left, right = rows[2]
    left.plot(steps, membrane, color=colours.POTENTIAL)
    left.fill_between(
        steps, threshold, membrane, membrane > threshold, True, color=colours.CROSSING, alpha=0.5
    )
    left.vlines(tau, membrane[tau], 2.8, color=colours.SPIKE, linewidth=2.5)
    left.text(tau - 1, 2.7, f"the spike, step {tau}", ha="right", va="top")
    left.text(42.6, 2.45, "above the threshold,\nbut has fired already", va="center", fontsize="small")
    # In the step of a spike the potential reaches U, and V = U - threshold remains.
    before = conventional.potential[0, :, 0]
    after = conventional.membrane[0, :, 0]
    right.plot(np.repeat(steps, 2), np.column_stack([before, after]).ravel(), color=colours.POTENTIAL)
    right.vlines(fired, before[fired], 2.8, color=colours.CONVENTIONAL, linewidth=2.5)
    right.text(fired[0] - 1, 2.7, "every spike takes\none threshold off V", ha="right", va="top")

    ticks(rows[3, 0], np.flatnonzero(faulty), colours.CROSSING, "V > 1: S~")
    rows[4, 0].semilogy(steps, np.maximum(z, 0.3), drawstyle="steps-mid", color=colours.DOUBLE_SUM)
    rows[4, 0].plot(tau, 1, "o", color=colours.SPIKE)
    rows[4, 0].annotate("z is 1 only here", (tau, 1), (tau - 20, 20), arrowprops={"arrowstyle": "->"})
    rows[4, 0].set(
        ylabel="double\nsum z of S~", yticks=[0.3, 1, 10, 100], yticklabels=["0", "1", "10", "100"]
    )
    ticks(rows[5, 0], [tau], colours.SPIKE, "spike S")
    ticks(rows[5, 1], fired, colours.CONVENTIONAL, "spikes S")
    for row in (*rows[:, 0], *rows[[0, 1, 2, 5], 1]):
        row.set_xlim(-1, n_steps)
        row.tick_params(labelbottom=row in rows[5])
    for row in rows[5]:
        row.set_xlabel("time (steps)")
    rows[3, 1].axis("off")
    u = np.linspace(-1, 1, 401)
    for style, scale in zip(("-", "--", ":"), (1.0, 10.0, 100.0)):
        derivative = fast_sigmoid_derivative(u, scale)
        rows[4, 1].plot(u, derivative, style, color=colours.INPUT, label=f"steepness {scale:g}")
    rows[4, 1].set(ylabel="h'", ylim=(0, 1.5), xticks=[-1, -0.5, 0, 0.5, 1])
    rows[4, 1].set_title("Backward: h'(V - threshold) for the step's derivative", fontsize="medium")
    rows[4, 1].legend(loc="upper center", ncols=3, fontsize="small", frameon=False)
    print(f"picture {plotting.save(figure, out / 'one_neuron.png')}")


if __name__ == "__main__":
    main()
