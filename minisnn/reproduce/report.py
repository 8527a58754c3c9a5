"""The table of ``minisnn reproduce``, with the published figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..table import table as text_table
from ..table import with_sd
from ..training.energy import ENERGY_NOTE, dense_energy, energy
from ..training.experiment import OPERATIONS, moments
from .comparison import NEURONS, Comparison

_HEAD = (
    "recipe", "network", "neurons", "accuracy %", "published", "spikes/sample", "fewer %", "published",
    "ms/step", "x (a)", "x (b)", "published",
)  # fmt: skip
_OPERATIONS_HEAD = (
    "recipe", "network", "neurons", "input events", "effective ACs", "membrane updates", "dense MACs", "sparsity",
    "nJ", "nJ dense",
)  # fmt: skip
_NOTES = (
    "accuracy: mean +- s.d. over the trainings; fewer: hidden spikes saved against the conventional network of the",
    "same recipe and budget. ms/step: median of training steps of the trained networks on the first batch, by turns in",
    "one run; conventional: (a) stepped with dense products / (b) from the same events; x: how many times faster.",
    "Published figures: arXiv 2205.15286, v1 and v2; speed on the authors' GPU.",
)

_OPERATIONS_NOTES = (
    "operations of an inference: an effective AC adds a weight, a membrane update is leak and bias, dense MACs are the",
    "products of a network without events; sparsity: share of hidden neurons and steps without a spike.",
    ENERGY_NOTE,
)


def table(comparisons: Sequence[Comparison]) -> str:
    """All comparisons of a data set as text, with the reason for each that is absent."""
    rows, reasons = [list(_HEAD)], []
    for one in comparisons:
        if one.outcomes is None:
            rows.append([one.recipe, "absent", *["-"] * (len(_HEAD) - 2)])
            reasons.append(f"{one.recipe}: absent: {one.absent}")
            continue
        rows += [_row(one, neuron) for neuron in NEURONS]
    shown = [one for one in comparisons if one.outcomes]
    titles = [_title(one) for one in shown]
    counted = [list(_OPERATIONS_HEAD)] + [_operations(one, neuron) for one in shown for neuron in NEURONS]
    operations = [text_table(counted, left=3), *_OPERATIONS_NOTES] if shown else []
    return "\n".join([*titles, text_table(rows, left=len(_HEAD)), *_NOTES, *operations, *reasons])


def _operations(one: Comparison, neuron: str) -> list[str]:
    """Operations of an inference of one network, and the energy of their arithmetic."""
    found = moments((one.outcomes or {})[neuron])
    means = [found[key][0] for key in OPERATIONS]
    names = [one.recipe, "-".join(map(str, one.sizes)), neuron]
    if None in means:  # trained by a version that did not count
        return [*names, *["-"] * 7]
    events, acs, updates, dense, sparsity = (mean or 0.0 for mean in means)
    counts = [*(f"{value:.0f}" for value in (events, acs, updates, dense)), f"{sparsity:.4f}"]
    return [*names, *counts, f"{energy(acs, updates):.1f}", f"{dense_energy(dense, updates):.1f}"]


def curve(points: Sequence[Comparison]) -> str:
    """Accuracy and hidden spikes along the trade-off curve of a recipe as text."""
    first = points[0]
    if first.outcomes is None:
        return f"trade-off curve: absent: {first.absent}"

    def means(one: Comparison, neuron: str) -> tuple[float, float]:
        return 100 * one.mean(neuron, one.accuracy_key)[0], one.mean(neuron, "spikes_per_sample")[0]

    rows = [["spike penalty", "network", "accuracy %", "points lost", "spikes/sample", "fewer %"]]
    best, most = means(first, NEURONS[1])
    for one in points:
        for neuron in NEURONS if one.outcomes else ():
            accuracy, spikes = means(one, neuron)
            cells = accuracy, best - accuracy, spikes, 100 * (1 - spikes / most) if most else math.nan
            numbers = ["-" if math.isnan(x) else f"{x:.{digits}f}" for x, digits in zip(cells, (2, 2, 1, 1))]
            rows.append([f"{one.spike_penalty:g}", neuron, *numbers])
    title = f"Trade-off of recipe {first.recipe}, against the conventional network without penalty:"
    reasons = [f"{one.spike_penalty:g}: absent: {one.absent}" for one in points if not one.outcomes]
    return "\n".join([title, text_table(rows, left=2), *reasons])


def _title(one: Comparison) -> str:
    runs = (one.outcomes or {})[NEURONS[0]]
    where = f"{one.folds} folds of {one.n_train} training" if one.folds else f"{one.n_test} test"
    return (
        f"{one.dataset}, recipe {one.recipe}: {one.n_train} training samples, {len(runs[0]['epochs'])} epochs, "
        f"{len(runs)} training{'s' if len(runs) > 1 else ''} of each network, accuracy on {where} samples"
    )


def _row(one: Comparison, neuron: str) -> list[str]:
    single, published = neuron == "single-spike", one.published
    accuracy, sd = one.mean(neuron, one.accuracy_key)

    def figure(name: str) -> str:
        value = getattr(published, name, None)
        return "-" if value is None else f"{value:g}"

    cells = [
        one.recipe,
        "-".join(map(str, one.sizes)),
        neuron,
        with_sd(accuracy, sd, 2, factor=100),
        figure(neuron.replace("-", "_")),
        f"{one.mean(neuron, 'spikes_per_sample')[0]:.1f}",
    ]
    fewer = "-" if math.isnan(one.fewer_spikes) else f"{100 * one.fewer_spikes:.1f}"
    cells += [fewer, figure("fewer_spikes")] if single else ["", ""]
    if one.speed is None:
        return [*cells, *["-"] * 4]
    if single:
        times = (one.speed.single_spike[0], *one.speed.ratios)
        return [*cells, *(f"{value:.1f}" for value in times), figure("speed_up")]
    return [*cells, f"{one.speed.dense[0]:.1f} / {one.speed.events[0]:.1f}", "1", "1", ""]
