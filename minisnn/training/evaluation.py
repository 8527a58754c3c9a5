"""Evaluation of a network on samples it is not trained on, and the batches of training and evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import solvers
from ..datasets.samples import Samples, checked_part
from ..errors import InputError
from ..loss import softmax_cross_entropy
from ..network import Network
from ..reading import checked_type
from ..solvers.compiled.workspace import Workspace
from ..spikes import SpikeEvents
from .energy import operations
from .metrics import Evaluation

__all__ = ["batches", "evaluate"]

_EVALUATION_BATCH = 256


def evaluate(network: Network, samples: Samples, *, solver: str = "numba-parallel") -> Evaluation:
    """Loss, accuracy and activity of a network on samples.

    Parameters
    ----------
    network : Network
        Left unchanged.
    samples : Samples
        One part of a data set.
    solver : str
        One of ``minisnn.solvers.names(network.config.neuron)``.

    Returns
    -------
    evaluation : Evaluation

    Raises
    ------
    InputError
        If there are no samples, or labels beyond the classes of the network, or spikes that do not fit it.
    """
    checked_type("network", network, Network)
    module, workspace = solvers.get(solver, network.config.neuron), Workspace()
    network = network.on_device(solver)
    sizes = network.config.sizes
    labels = checked_part("samples", samples, sizes[-1])
    n, loss, correct, events = len(labels), 0.0, 0, 0
    spikes = np.zeros(len(sizes) - 2)
    fired = [np.zeros(size, dtype=np.int64) for size in sizes[1:-1]]
    chosen = [np.arange(k, min(k + _EVALUATION_BATCH, n)) for k in range(0, n, _EVALUATION_BATCH)]
    for indices, batch in batches(network, samples, chosen, module):
        outcome = network.predict(batch, solver=solver, workspace=workspace, checked=True)
        logits = module.to_host(outcome.logits)
        loss += softmax_cross_entropy(logits, labels[indices])[0] * len(indices)
        correct += int((logits.argmax(axis=1) == labels[indices]).sum())
        spikes += outcome.spike_counts()
        events += batch.n_events if isinstance(batch, SpikeEvents) else int((batch != 0).sum())
        for total, times in zip(fired, outcome.spike_times):
            total += module.to_host((times < outcome.n_steps).sum(axis=0))
    per_layer = tuple(float(s) / n for s in spikes)
    return Evaluation(
        loss / n,
        correct / n,
        per_layer,
        tuple(int((total == 0).sum()) for total in fired),
        tuple(int((total == n).sum()) for total in fired),
        events / n,
        **operations(sizes, outcome.n_steps, events / n, per_layer),
    )


def batches(
    network: Network,
    samples: Samples,
    chosen: Sequence[NDArray[np.int64]],
    solver: solvers.Solver,
    rng: np.random.Generator | None = None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any] | SpikeEvents]]:
    """Numbers of the samples of every batch, and their checked spikes, on the device of `solver`.

    The next batch is prepared while the last is in use; `rng` drives augmentation, None turns it off.
    """

    def prepare(indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[Any] | SpikeEvents]:
        spikes = network.checked_input(samples.batch(indices, rng))
        if len(spikes) != len(indices):
            raise InputError(f"batch() must return the {len(indices)} samples asked for, got {len(spikes)}")
        return indices, solver.to_device(spikes)

    # One worker takes the batches in order, so that augmentation draws its numbers in order too.
    with ThreadPoolExecutor(max_workers=1) as worker:
        upcoming = worker.submit(prepare, chosen[0])
        for indices in chosen[1:]:
            ready, upcoming = upcoming.result(), worker.submit(prepare, indices)
            yield ready
        yield upcoming.result()
