"""Check and timing of the GPU solvers in one go, on a machine with a GPU.

    python examples/20_gpu_check_and_timing.py [--quick] [--data-dir DIR]

First the checker judges both GPU solvers, forward and backward, float32 and float64, and their spikes and
potentials are compared with the stepping solver on the CPU bit for bit on exact inputs. Then a table:
milliseconds of a training step of the three workloads of `minisnn bench step` (published: 10, 81 and 21 ms
for the authors' parallel layer on their GPU), and of one layer, forward and backward, for T = 8 ... 2048,
with the bytes it has to move (four times (B, T, N)) against the device's measured copy bandwidth. With
Fashion-MNIST at hand, one epoch of training.
Exit code 0: done; 1: a check failed; 2: no GPU.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

import minisnn
from minisnn import Network, NetworkConfig, SpikeEvents, TrainingConfig, datasets, oracle, solvers
from minisnn.bench.workloads import WORKLOADS, make_batch, make_network, workload
from minisnn.errors import DataError, InputError
from minisnn.training.optimiser import Adam

SOLVERS = ("cupy-sequential", "cupy-parallel")
PUBLISHED = {"fashion-mnist": 10, "nmnist": 81, "shd": 21}


def check(solver, neuron, examples):
    """Whether the checker passes a solver, and its potentials are the CPU's on exact inputs."""
    run = getattr(minisnn, f"{neuron.replace('-', '_')}_forward")
    back = getattr(minisnn, f"{neuron.replace('-', '_')}_backward")

    def forward(spikes, weight, bias, decay, threshold):
        trace = run(spikes, weight, bias, decay, threshold=threshold, solver=solver)
        return trace.spikes, trace.membrane

    def backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):
        trace = run(spikes, weight, bias, decay, threshold=threshold, solver=solver)
        choice = {"gradient": gradient} if neuron == "single-spike" else {"detach_reset": False}
        grads = back(trace, grad_spikes, surrogate_scale=surrogate_scale, solver=solver, **choice)
        return {name: getattr(grads, name) for name in ("spikes", "weight", "bias", "decay")}

    report = oracle.check(forward, backward, neuron=neuron, examples=examples)
    rng = np.random.default_rng(0)
    same = True
    for dtype, n_steps in ((np.float32, 8), (np.float64, 20)):
        spikes = rng.random((16, n_steps, 40)) < 0.3
        weight, bias = rng.integers(-6, 7, (40, 100)) / 4, rng.integers(-1, 2, 100) / 4
        layer = spikes, weight.astype(dtype), bias.astype(dtype), dtype(0.5)
        ours, theirs = (run(*layer[:3], float(layer[3]), solver=s) for s in (solver, "numpy-sequential"))
        same &= np.array_equal(ours.potential, theirs.potential) and np.array_equal(
            ours.spikes, theirs.spikes
        )
    verdict = "passed" if report.passed else "FAILED"
    print(
        f"{solver:16s} {neuron:13s} checker {verdict}, exact inputs {'same bits' if same else 'BITS DIFFER'}"
    )
    if not report.passed:
        print(report)
    return report.passed and same


def milliseconds(cupy, task, repeats):
    """Median time of a task, the device awaited, after two runs to compile and to warm up."""
    times = []
    for k in range(repeats + 2):
        cupy.cuda.Device().synchronize()
        started = time.perf_counter()
        task()
        cupy.cuda.Device().synchronize()
        if k >= 2:
            times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times)


def copy_bandwidth(cupy, n_bytes, repeats):
    """Bytes read and written per second by a copy on the device."""
    source, target = cupy.zeros(n_bytes // 4, np.float32), cupy.zeros(n_bytes // 4, np.float32)
    return 2 * source.nbytes / (1e-3 * milliseconds(cupy, lambda: cupy.copyto(target, source), repeats))


def training_step(solver, what):
    """One step of training on the device, as a function without arguments."""
    module = solvers.get(solver)
    events, labels = make_batch(what)
    network = make_network(what, "v2", "single-spike", events)
    there, events = network.on_device(solver), module.to_device(events)
    optimiser = Adam(network.parameters, network.learns, module)
    optimiser.move(there.parameters)
    return lambda: optimiser.step(there.loss_and_gradients(events, labels, solver=solver)[1], 1e-5)


def layer_step(solver, batch, n_steps, n):
    """Forward and backward of one layer fed by n inputs that spike once each, on the device."""
    module = solvers.get(solver)
    rng = np.random.default_rng(n_steps)
    events = SpikeEvents.from_spike_times(rng.integers(0, n_steps, (batch, n)), n_steps)
    weight = rng.uniform(-1, 1, (n, n)).astype(np.float32) / np.float32(np.sqrt(n))
    layer = [module.to_device(a) for a in (events, weight, np.zeros(n, np.float32), np.float32([0.9] * n))]
    grad = module.to_device(rng.standard_normal((batch, n_steps, n), dtype=np.float32))

    def step():
        trace = module.single_spike_forward(*layer, 1.0)
        module.single_spike_backward(trace, grad, None, 10.0, "straight-through")

    return step


def epoch(data_dir):
    """Seconds and accuracy of one epoch of Fashion-MNIST, 784-1000-10, or None without the data."""
    try:
        data = datasets.load_dataset("fashion-mnist", data_dir)
    except DataError as error:
        print(f"no epoch of Fashion-MNIST: {error}")
        return
    network = Network.random(NetworkConfig((data.n_inputs, 1000, data.n_classes)))
    (metrics,) = minisnn.train(network, data, TrainingConfig(epochs=1, solver="cupy-parallel"))
    print(
        f"one epoch of Fashion-MNIST, 784-1000-10: {metrics.seconds:.2f} s, test accuracy {metrics.test_accuracy:.4f}"
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the script itself")
    parser.add_argument("--data-dir", type=Path, help="folder of the data sets (default: MINISNN_DATA)")
    args = parser.parse_args(arguments)
    try:
        for solver in SOLVERS:
            solvers.get(solver)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    import cupy

    print(cupy.cuda.runtime.getDeviceProperties(0)["name"].decode(), f"CuPy {cupy.__version__}")
    pairs = [(s, "single-spike") for s in SOLVERS] + [("cupy-sequential", "multi-spike")]
    passed = [check(*pair, 5 if args.quick else 100) for pair in pairs]
    if not all(passed):
        return 1

    repeats = 1 if args.quick else 20
    bandwidth = copy_bandwidth(cupy, 2**20 if args.quick else 2**30, repeats)
    print(f"\ncopy bandwidth {bandwidth / 1e9:.0f} GB/s")
    print(f"{'training step':24s} {'stepping ms':>12s} {'parallel ms':>12s} {'published ms':>13s}")
    sizes = {"batch": 4, "n_hidden": 16, "n_steps": 40} if args.quick else {}
    for name in WORKLOADS:
        times = [milliseconds(cupy, training_step(s, workload(name, **sizes)), repeats) for s in SOLVERS]
        print(f"{name:24s} {times[0]:12.3f} {times[1]:12.3f} {PUBLISHED[name]:13d}")

    batch, n = (4, 16) if args.quick else (128, 1000)
    print(
        f"\n{f'layer, batch {batch}, n {n}':24s} {'stepping ms':>12s} {'parallel ms':>12s} {'of bandwidth':>13s}"
    )
    for n_steps in (8, 32) if args.quick else (8, 32, 128, 512, 2048):
        times = [milliseconds(cupy, layer_step(s, batch, n_steps, n), repeats) for s in SOLVERS]
        share = 4 * 4 * batch * n_steps * n / (1e-3 * times[1]) / bandwidth
        print(f"{f'T = {n_steps}':24s} {times[0]:12.3f} {times[1]:12.3f} {share:13.2f}")
    print()
    if not args.quick:
        epoch(args.data_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
