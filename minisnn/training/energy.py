"""Operations of an inference, and the energy of their arithmetic.

The names are those of NeuroBench. An input event of a layer adds one weight to the current of each of its neurons: an
*effective accumulate* (AC). In every step each neuron multiplies its potential by its decay and adds current and
bias: a *membrane update*, counted as a multiply-accumulate (MAC). A *dense* layer of the same shape multiplies every
input by every weight in every step, whether or not there is a spike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ..table import table as text_table

__all__ = ["ENERGY_NOTE", "dense_energy", "energy", "operations", "table"]

# Picojoules of a 32-bit floating-point operation in 45 nm at 0.9 V: M. Horowitz, "Computing's energy problem (and what
# we can do about it)", ISSCC 2014, pages 10-14.
ADD, MULTIPLY = 0.9, 3.7
ENERGY_NOTE = (
    f"nJ: arithmetic alone, {ADD} pJ an addition and {MULTIPLY} pJ a multiplication of 32-bit floats in 45 nm\n"
    "(Horowitz, ISSCC 2014); moving weights and potentials to and from memory is left out, and often takes more."
)


def operations(
    sizes: Sequence[int], n_steps: int, input_events: float, spikes_per_layer: Sequence[float]
) -> dict[str, tuple[float, ...]]:
    """Operations of every layer with weights, the readout last, in one inference.

    `sizes` are the neurons of every layer: inputs, hidden layers, classes. Events and spikes are those of a sample.

    Examples
    --------
    >>> for name, values in operations((4, 120, 3), 100, input_events=4, spikes_per_layer=[60.0]).items():
    ...     print(name, values)
    effective_acs_per_layer (480, 180.0)
    membrane_updates_per_layer (12000, 300)
    dense_per_layer (48000, 36000)
    """
    events = (input_events, *spikes_per_layer)
    return {
        "effective_acs_per_layer": tuple(n * fan_out for n, fan_out in zip(events, sizes[1:])),
        "membrane_updates_per_layer": tuple(n_steps * n for n in sizes[1:]),
        "dense_per_layer": tuple(n_steps * n_in * n_out for n_in, n_out in pairwise(sizes)),
    }


def energy(effective_acs: float, membrane_updates: float) -> float:
    """Nanojoules of additions and membrane updates."""
    return (ADD * effective_acs + (ADD + MULTIPLY) * membrane_updates) / 1000


def dense_energy(dense: float, membrane_updates: float) -> float:
    """Nanojoules of a dense network's products and membrane updates."""
    return (ADD + MULTIPLY) * (dense + membrane_updates) / 1000


def table(evaluation: Mapping[str, Any], *, with_energy: bool) -> str:
    """The operations of one inference layer by layer, from the entries of an evaluation, as text."""
    events = [evaluation["input_events"], *evaluation["spikes_per_layer"]]
    spikes = [*evaluation["spikes_per_layer"], 0.0]
    kinds = ("effective_acs", "membrane_updates", "dense")
    columns = [events, spikes, *(evaluation[f"{kind}_per_layer"] for kind in kinds)]
    layers = [f"hidden{k}" for k in range(1, len(events))] + ["readout"]
    rows = [["layer", "input events", "spikes", "effective ACs", "membrane updates", "dense MACs"]]
    rows[0] += ["nJ", "nJ dense"] if with_energy else []
    for name, values in [*zip(layers, zip(*columns)), ("all", [sum(column) for column in columns])]:
        acs, updates, dense = values[2:]
        joules = [f"{energy(acs, updates):.2f}", f"{dense_energy(dense, updates):.2f}"] if with_energy else []
        rows.append([name, *(f"{value:.1f}" for value in values[:3]), str(updates), str(dense), *joules])
    acs, updates = (sum(evaluation[f"{kind}_per_layer"]) for kind in kinds[:2])
    share = 100 * updates / (acs + updates)
    note = f"per inference; {share:.0f} % of the operations are membrane updates (leak and bias of T x N)"
    return "\n".join([text_table(rows), note, *([ENERGY_NOTE] if with_energy else [])])
