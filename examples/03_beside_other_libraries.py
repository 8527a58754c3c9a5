"""minisnn beside snnTorch, SpikingJelly and Spyx: one training step, same input, same network, one run.

The libraries that are installed take part; none of them is needed by minisnn. Every one trains a conventional
network (leaky integrate-and-fire, subtractive reset, leaky readout, maximum over time, cross-entropy, Adam) from the
same weights on the same batch, fed as it likes it best: the dense raster in its own layout, the input layer applied to
all steps at once. Its loss must first agree with that of a plain loop over time; a time without that is not
printed. minisnn's single-spike network, from the same weights again, is the last line.

    python examples/03_beside_other_libraries.py [fashion-mnist | nmnist | shd] [--batch 128] [--threads 2]
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from minisnn import Network
from minisnn.bench.timing import Contestant, StepRunner, by_turns
from minisnn.bench.workloads import WORKLOADS, make_batch, make_network, workload
from minisnn.solvers.settings import settings

SLOPE = 100.0  # of the surrogate derivative 1 / (1 + s |u|)^2
LR = 1e-5

# A library's training step: called with nothing, it takes a step and returns the loss before it.
Step = Callable[[], float]


def torch_step(model: Callable[[Any], Any], parameters: list[Any], raster: Any, labels: Any) -> Step:
    import torch

    optimiser = torch.optim.Adam(parameters, lr=LR)
    target = torch.from_numpy(labels)

    def step() -> float:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(raster), target)
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return step


def torch_layers(network: Network, raster: np.ndarray, threads: int) -> tuple[Any, Any, Any]:
    """Both linear layers with the network's weights, and the raster as (T, B, n_in)."""
    import torch

    torch.set_num_threads(threads)
    layers = []
    for name in ("hidden1", "readout"):
        weight = network.parameters[f"{name}.weight"]
        layer = torch.nn.Linear(*weight.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight.T))
            layer.bias.copy_(torch.from_numpy(network.parameters[f"{name}.bias"]))
        layers.append(layer)
    return (*layers, torch.from_numpy(np.ascontiguousarray(raster.transpose(1, 0, 2))))


def snntorch_step(network: Network, raster: np.ndarray, labels: np.ndarray, threads: int) -> Step:
    import snntorch
    import torch
    from snntorch import surrogate

    first, second, x = torch_layers(network, raster, threads)
    hidden = snntorch.Leaky(
        beta=float(network.parameters["hidden1.decay"]),
        spike_grad=surrogate.fast_sigmoid(slope=SLOPE),
        reset_delay=False,
    )
    decay = float(network.parameters["readout.decay"])
    readout = snntorch.Leaky(beta=decay, reset_mechanism="none")

    def model(x: Any) -> Any:
        current = first(x)
        membrane, spikes = hidden.reset_mem(), []
        for t in range(len(x)):
            spike, membrane = hidden(current[t], membrane)
            spikes.append(spike)
        current = second(torch.stack(spikes))
        membrane, potentials = readout.reset_mem(), []
        for t in range(len(x)):
            _, membrane = readout(current[t], membrane)
            potentials.append(membrane)
        return torch.stack(potentials).amax(dim=0)

    return torch_step(model, [*first.parameters(), *second.parameters()], x, labels)


def spikingjelly_step(network: Network, raster: np.ndarray, labels: np.ndarray, threads: int) -> Step:
    from spikingjelly.activation_based import functional, neuron, surrogate

    first, second, x = torch_layers(network, raster, threads)

    def leaky(name: str, **options: Any) -> Any:
        decay = float(network.parameters[f"{name}.decay"])
        return neuron.LIFNode(
            tau=1 / (1 - decay), decay_input=False, v_reset=None, step_mode="m",
            surrogate_function=surrogate.SuperSpike(), **options,
        )  # fmt: skip

    hidden, readout = leaky("hidden1"), leaky("readout", v_threshold=1e9, store_v_seq=True)

    def model(x: Any) -> Any:
        functional.reset_net(hidden)
        functional.reset_net(readout)
        readout(second(hidden(first(x))))
        return readout.v_seq.amax(dim=0)

    return torch_step(model, [*first.parameters(), *second.parameters()], x, labels)


def spyx_step(network: Network, raster: np.ndarray, labels: np.ndarray, threads: int) -> Step:
    import jax
    import jax.numpy as jnp
    import optax
    import spyx
    from flax import nnx

    n_hidden, n_classes = network.config.sizes[1:]
    decay = {name: float(network.parameters[f"{name}.decay"]) for name in ("hidden1", "readout")}
    random = nnx.Rngs(0)
    spike = spyx.axn.superspike(SLOPE)
    hidden = spyx.nn.LIF((n_hidden,), beta=decay["hidden1"], activation=spike, rngs=random)
    readout = spyx.nn.LI((n_classes,), beta=decay["readout"], rngs=random)
    x = jnp.asarray(raster.transpose(1, 0, 2))
    target = jnp.asarray(labels)
    parameters = {
        name: jnp.array(array) for name, array in network.parameters.items() if not name.endswith("decay")
    }
    optimiser = optax.adam(LR)

    def loss_of(parameters: Any, x: Any) -> Any:
        spikes, _ = spyx.nn.run(hidden, x @ parameters["hidden1.weight"] + parameters["hidden1.bias"])
        potential, _ = spyx.nn.run(
            readout, spikes @ parameters["readout.weight"] + parameters["readout.bias"]
        )
        return optax.softmax_cross_entropy_with_integer_labels(potential.max(axis=0), target).mean()

    @jax.jit
    def update(parameters: Any, state: Any, x: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x)
        updates, state = optimiser.update(gradients, state)
        return loss, optax.apply_updates(parameters, updates), state

    kept = [parameters, optimiser.init(parameters)]

    def step() -> float:
        loss, *kept[:] = update(*kept, x)
        return float(loss)

    return step


def expected_loss(network: Network, raster: np.ndarray, labels: np.ndarray, delayed: bool) -> float:
    """Loss by a plain loop over time.

    With `delayed` a spike leaves the neuron, and resets it, one step after the crossing and without having
    decayed meanwhile (Spyx); otherwise in the step of the crossing (minisnn, and the others as set up here).
    """
    p = network.parameters
    current = raster @ p["hidden1.weight"] + p["hidden1.bias"]
    v = np.zeros_like(current[:, 0])
    u = np.zeros((len(raster), network.config.sizes[2]), v.dtype)
    logits = np.full_like(u, -np.inf)
    for t in range(raster.shape[1]):
        if delayed:
            fired = (v > 1).astype(v.dtype)
            v = p["hidden1.decay"] * v + current[:, t] - fired
        else:
            v = p["hidden1.decay"] * v + current[:, t]
            fired = (v > 1).astype(v.dtype)
            v = v - fired
        u = p["readout.decay"] * u + fired @ p["readout.weight"] + p["readout.bias"]
        logits = np.maximum(logits, u)
    logits = logits - logits.max(axis=1, keepdims=True)
    chosen = logits[np.arange(len(labels)), labels]
    return float((np.log(np.exp(logits).sum(axis=1)) - chosen).mean())


# Name: module, how to make its step, and whether its spikes leave a step later.
LIBRARIES: dict[str, tuple[str, Callable[..., Step], bool]] = {
    "snnTorch": ("snntorch", snntorch_step, False),
    "SpikingJelly": ("spikingjelly", spikingjelly_step, False),
    "Spyx": ("spyx", spyx_step, True),
}


def timed(step: Step) -> Callable[[int], list[float]]:
    """A contestant for `by_turns`: one untimed step, then timed ones."""

    def turn(n_timed: int) -> list[float]:
        step()
        seconds = []
        for _ in range(n_timed):
            started = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - started)
        return seconds

    return turn


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("workload", nargs="?", default="fashion-mnist", choices=tuple(WORKLOADS))
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    what = workload(args.workload, batch=args.batch)
    events, labels = make_batch(what)
    raster = events.to_raster(np.float32)
    conventional, single = (
        make_network(what, "v1", neuron, events) for neuron in ("multi-spike", "single-spike")
    )
    contestants: dict[str, Callable[[int], list[float]]] = {}
    faults = 0
    for name, (module, make, delayed) in LIBRARIES.items():
        if importlib.util.find_spec(module) is None:
            print(f"{name:14s} not installed")
            continue
        step = make(conventional, raster, labels, args.threads)
        with settings(n_threads=1):  # more threads of NumPy's BLAS would go on spinning into the times
            loss, expected = step(), expected_loss(conventional, raster, labels, delayed)
        # The same sums in another order: the losses differ by rounding, and by a few spikes it may move.
        if abs(loss - expected) > 1e-3 * expected:
            print(f"{name:14s} answers differ, no time: loss {loss:.6f}, expected {expected:.6f}")
            faults += 1
            continue
        contestants[name] = timed(step)
    for label, network, product, solver in (
        ("minisnn, conventional, dense", conventional, "dense", "numba-sequential"),
        ("minisnn, conventional, events", conventional, "events", "numba-sequential"),
        ("minisnn, single-spike", single, "auto", "numba-parallel"),
    ):
        way = Contestant(solver, network.config.neuron, product, args.threads)
        runner = StepRunner(way, network, events, labels, raster)
        contestants[label] = lambda n, runner=runner: [total for total, _, _ in runner.turn(n)]
    results = dict(zip(contestants, by_turns(list(contestants.values()), args.repeats)))
    last = statistics.median(results["minisnn, single-spike"])
    print(
        f"{args.workload}: one training step, batch {args.batch}, {args.threads} threads, median of {args.repeats}"
    )
    print(f"{'':32s} {'median':>10s} {'min':>10s} {'max':>10s}   over minisnn, single-spike")
    for name, seconds in results.items():
        ms = [1e3 * value for value in (statistics.median(seconds), min(seconds), max(seconds))]
        print(f"{name:32s} {ms[0]:7.2f} ms {ms[1]:7.2f} ms {ms[2]:7.2f} ms   {ms[0] / 1e3 / last:.2f}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
