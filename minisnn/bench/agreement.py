"""The check before every time: no time is printed before the answers have passed it.

`minisnn.oracle.step` judges a training step by its rounding bounds, layer by layer. A step that a solver takes at once
must have the same spikes and logits, and is judged by the same bounds.

BLAS runs on one thread meanwhile: idle BLAS threads keep spinning for some hundredths of a second, and would disturb
the first timed runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..network import Network, Outcome
from ..oracle.step import layer_fault, step_fault
from ..solvers.compiled.threads import one_blas_thread
from ..spikes import SpikeEvents

layer_disagreement = one_blas_thread()(layer_fault)


@one_blas_thread()
def disagreement(
    network: Network, spikes: SpikeEvents | NDArray[Any], labels: NDArray[np.int64], solver: str
) -> str | None:
    """First thing in which a training step by `solver` on a few samples breaks its bound; None if it agrees.

    The step is taken with the settings (`minisnn.solvers.settings`) of the caller, those that will be timed.
    """
    loss, gradients, activity = network.loss_and_gradients(spikes, labels, solver=solver)
    answers = {"": (loss, gradients)}
    loss, gradients, outcome = network.training_step(spikes, labels, solver=solver)
    if isinstance(outcome, Outcome):
        times = [trace.spike_times for trace in activity.hidden]
        if not all(map(np.array_equal, outcome.spike_times, times)):
            return "the step taken at once has other spikes than layer by layer"
        if not np.array_equal(outcome.logits, activity.logits):
            return "the step taken at once has other logits than layer by layer"
        answers["the step taken at once: "] = (loss, gradients)
    raster = spikes.to_raster(np.float64) if isinstance(spikes, SpikeEvents) else spikes
    return step_fault(network.config, activity, raster, labels, answers)


@one_blas_thread()
def same_bits(
    network: Network, spikes: Any, labels: NDArray[np.int64], solver: str, other: str
) -> str | None:
    """First array of a training step whose bits differ between two solvers; None if all are the same."""
    results = [network.loss_and_gradients(spikes, labels, solver=name) for name in (solver, other)]
    for (name, first), second in zip(results[0][1].items(), results[1][1].values()):
        if not np.array_equal(first, second):
            return f"gradient of {name}: bits differ from {other}"
    if results[0][0] != results[1][0]:
        return f"loss: expected {results[1][0]!r} as from {other}, got {results[0][0]!r}"
    return None
