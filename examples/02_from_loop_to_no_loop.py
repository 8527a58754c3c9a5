"""From the loop to no loop: one network stepped and solved at once, its matrices drawn, time against T.

    python examples/02_from_loop_to_no_loop.py [--out FOLDER] [--longest 512]

Draws `from_loop_to_no_loop.png` and prints a table (needs matplotlib: pip install '.[plot]').

In NumPy on a CPU the loop is the fastest of the three: each of its steps is one small array that stays in cache.
Having no loop pays where thousands of steps run side by side, on a GPU, and it is what lets `numba-parallel` walk
through a whole spike train in one pass over events (`minisnn bench step` measures that).
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from minisnn.solvers import numpy_parallel as parallel
from minisnn.solvers import numpy_sequential as sequential
from minisnn.solvers.settings import settings
from minisnn.training import colours

try:
    from matplotlib.figure import Figure

    from minisnn.training import plotting
except ImportError as error:
    raise SystemExit(f"needs matplotlib: pip install '.[plot]' in a clone of minisnn ({error})") from None


def step_by_step(current, decay):
    """The loop: every step waits for the one before."""
    return sequential.first_only(
        sequential.double_sum(sequential.crossings(sequential.integrate(current, decay), 1.0))
    )


def by_matrices(current, decay):
    """The paper: two products with triangular matrices, and everything else pointwise."""
    membrane = parallel.integrate_matrix(current, decay)
    return parallel.first_only(parallel.double_sum_matrix(parallel.crossings(membrane, 1.0)))


def by_doubling(current, decay):
    """The same without the matrices: log2 T passes, each reaching twice as far back."""
    membrane = parallel.integrate(current, decay)
    return parallel.first_only(parallel.double_sum(parallel.crossings(membrane, 1.0)))


WAYS = {"loop over time": step_by_step, "triangular matrices": by_matrices, "recursive doubling": by_doubling}


def milliseconds(function, *arguments, repeats=5):
    function(*arguments)
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        function(*arguments)
        taken.append(1e3 * (time.perf_counter() - started))
    return statistics.median(taken)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture")
    parser.add_argument("--longest", type=int, default=512, help="largest number of steps to time")
    args = parser.parse_args(arguments)

    rng = np.random.default_rng(0)
    decay = np.asarray(0.875)
    # Multiples of 1/8 and few steps: every way of summing is exact, so all three must agree bit for bit.
    current = rng.integers(-2, 4, (8, 12, 20)) / 8
    answers = [way(current, decay) for way in WAYS.values()]
    assert all(np.array_equal(answers[0], other) for other in answers[1:])
    print(
        f"three ways, the same {answers[0].sum()} spikes of {current.shape[0] * current.shape[2]} neurons, bit for bit"
    )

    lengths = [2**k for k in range(3, 14) if 2**k <= args.longest]
    times = {name: [] for name in WAYS}
    print("\n    T" + "".join(f"  {name:>20s}" for name in WAYS) + "   (ms, median of 5, one thread)")
    for n_steps in lengths:
        drive = rng.normal(0.05, 0.2, (32, n_steps, 100))
        with settings(n_threads=1):  # more threads of BLAS would help the matrices alone
            for name, way in WAYS.items():
                times[name].append(milliseconds(way, drive, decay))
        print(f"{n_steps:5d}" + "".join(f"  {values[-1]:20.2f}" for values in times.values()))

    figure = Figure(figsize=(11, 6.4), layout="constrained")
    top, bottom = figure.subfigures(2, 1)
    matrices = {
        "A: decay to the power t - k": parallel.decay_matrix(decay, 12, current),
        "P: t - k + 1": parallel.sum_matrix(12, np.int64, current),
    }
    axes = top.subplots(1, 4, width_ratios=(1, 1, 1, 1))
    for place, (name, matrix) in zip(axes, matrices.items()):
        image = place.imshow(matrix, cmap="viridis")
        place.set(title=name, xlabel="step k", ylabel="step t")
        top.colorbar(image, ax=place, shrink=0.7)
    membrane = parallel.integrate(current, decay)
    neuron = int(np.argmax(parallel.crossings(membrane, 1.0)[0].sum(axis=0)))
    axes[2].plot(membrane[0, :, neuron], marker=".", color=colours.POTENTIAL)
    axes[2].axhline(1, color=colours.THRESHOLD, linestyle="--", linewidth=1)
    axes[2].set(title="V = A I, one neuron", xlabel="step", ylabel="V (thresholds)")
    z = parallel.double_sum(parallel.crossings(membrane, 1.0))[0, :, neuron]
    axes[3].plot(z, drawstyle="steps-mid", color=colours.DOUBLE_SUM)
    first = np.flatnonzero(z == 1)
    axes[3].plot(first, z[first], "o", color=colours.SPIKE)
    axes[3].annotate("z = 1: the spike", (first[0], 1), (0, 8), arrowprops={"arrowstyle": "->"})
    axes[3].set(title="z = P S~", xlabel="step", ylabel="double sum z")
    plot = bottom.subplots()
    for colour, (name, values) in zip(colours.COLOURS, times.items()):
        plot.loglog(lengths, values, marker="o", color=colour, label=name)
    plot.set(xlabel="time steps T", ylabel="ms for 32 samples, 100 neurons", title="Time against T, in NumPy")
    plot.grid(alpha=0.3, which="both")
    plot.set_xticks(lengths, [str(n_steps) for n_steps in lengths], minor=False)
    plot.minorticks_off()
    plot.yaxis.set_major_formatter("{x:g}")
    plot.legend(**plotting.BESIDE)
    print(f"\npicture {plotting.save(figure, args.out / 'from_loop_to_no_loop.png')}")


if __name__ == "__main__":
    main()
