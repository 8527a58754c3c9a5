"""The paper's figures: accuracy, speed-up and spikes saved, and both networks with one sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..datasets import Dataset
from ..network import Network
from ..training.colours import CONVENTIONAL, GATED, INPUT, NEURONS, SPIKE
from ..training.plotting import draw_raster, draw_readout, legend_below, save
from .comparison import Comparison

_NAMES = {"single-spike": "single-spike", "multi-spike": "conventional (multi-spike)"}
_QUICK = " (--quick: shows that it works, reproduces nothing)"


def draw_bars(comparisons: Sequence[Comparison], quick: bool = False) -> Figure:
    """Accuracy, speed-up and spikes saved of every recipe with its budget; published figures as diamonds."""
    shown = [one for one in comparisons if one.outcomes is not None]
    figure = Figure(figsize=(max(12, 4.2 * len(shown)), 4.6), layout="constrained")
    accuracy, speed, saved = figure.subplots(1, 3)
    place = np.arange(len(shown))

    def diamonds(axes: Any, x: Any, name: str) -> None:
        values = np.array([getattr(one.published, name, None) for one in shown], dtype=float)
        if not np.isnan(values).all():
            axes.plot(x, values, "D", color="k", markersize=5, linestyle="none", label="published")

    for k, (neuron, colour) in enumerate(NEURONS.items()):
        x, values = place + 0.3 * k - 0.15, [one.mean(neuron, one.accuracy_key) for one in shown]
        means, sds = 100 * np.array(values, dtype=float).T  # no s.d. is NaN
        accuracy.errorbar(x, means, yerr=sds, fmt="o", color=colour, capsize=3, label=_NAMES[neuron])
        diamonds(accuracy, x, neuron.replace("-", "_"))
        ratios = [one.speed.ratios[k] if one.speed else np.nan for one in shown]
        baseline, colour = (
            ("(a) conventional, dense products", CONVENTIONAL),
            ("(b) the same from events", GATED),
        )[k]
        speed.bar(place + 0.4 * k - 0.2, ratios, 0.38, color=colour, label=f"faster than {baseline}")
    accuracy.set(ylabel="accuracy (%)", title="Accuracy")
    accuracy.margins(y=0.15)
    diamonds(speed, place, "speed_up")
    speed.axhline(1, color="0.4", linewidth=1, linestyle="--")
    speed.set(ylabel="times faster", title="Single-spike training step")
    fewer = np.array([100 * one.fewer_spikes for one in shown])
    saved.bar(place, fewer, 0.5, color=SPIKE)
    saved.axhline(0, color="0.4", linewidth=1)
    diamonds(saved, place, "fewer_spikes")
    # After a short training there may be more spikes than the conventional network's: the bar hangs below the line.
    bottom = 1.1 * fewer.min(initial=0.0, where=~np.isnan(fewer))
    saved.set(ylabel="hidden spikes saved (%)", ylim=(bottom, 105), title="Spikes")
    ticks = [f"{one.recipe}, {'-'.join(map(str, one.sizes))}\n{_budget(one)}" for one in shown]
    for axes in (accuracy, speed, saved):
        axes.set_xticks(place, ticks, fontsize="small")
        axes.set_xlim(-0.6, len(shown) - 0.4)
        axes.grid(axis="y", alpha=0.3)
    entries: dict[str, Any] = {}  # once each
    for axes in (accuracy, speed, saved):
        entries |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels())}
    figure.legend(
        entries.values(), entries, loc="outside lower center", ncols=5, fontsize="small", frameon=False
    )
    title = f"{shown[0].dataset}: single-spike against conventional networks"
    figure.suptitle(title + (_QUICK if quick else ""))
    return figure


def _budget(one: Comparison) -> str:
    runs = (one.outcomes or {})["single-spike"]
    trainings = f"{one.folds} folds" if one.folds else f"{len(runs)} seed{'s' if len(runs) > 1 else ''}"
    return f"{one.n_train} samples\n{len(runs[0]['epochs'])} epochs, {trainings}"


def draw_curve(points: Sequence[Comparison], quick: bool = False) -> Figure:
    """Accuracy against hidden spikes of both networks, a point for every spike penalty whose trainings there are."""
    points = [one for one in points if one.outcomes]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for neuron, colour in NEURONS.items():
        spikes = [one.mean(neuron, "spikes_per_sample")[0] for one in points]
        values = [one.mean(neuron, one.accuracy_key) for one in points]
        means, sds = 100 * np.array(values, dtype=float).T  # no s.d. is NaN
        axes.errorbar(spikes, means, sds, fmt="o-", color=colour, capsize=3, label=_NAMES[neuron])
        for k in (0, -1):  # those between would run into each other
            place, text = (spikes[k], means[k]), f"{points[k].spike_penalty:g}"
            axes.annotate(text, place, (6, -4), textcoords="offset points", fontsize="small")
    axes.set_xscale("symlog", linthresh=1, subs=(2, 3, 5, 7))
    for formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        formatter("{x:g}")
    axes.margins(x=0.1)
    axes.set(xlabel="hidden spikes per sample", ylabel="accuracy (%)")
    axes.grid(alpha=0.3)
    penalties = ", ".join(f"{one.spike_penalty:g}" for one in points)
    legend_below(axes, ncols=2, title=f"a point for each spike penalty: {penalties}")
    budget = _budget(points[0]).replace("\n", ", ")
    title = f"{points[0].dataset}, recipe {points[0].recipe}: {budget}"
    figure.suptitle(title + ("\n" + _QUICK.strip() if quick else ""), fontsize="medium")
    return figure


def draw_snapshot(networks: dict[str, Network], data: Dataset, note: str = "") -> Figure:
    """Input raster, hidden raster and readout traces of every network for the first test sample."""
    spikes, label = data.test.batch(np.arange(1)), int(data.test.labels[0])
    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(3, len(networks), sharex=True, sharey="row", squeeze=False)
    for (inputs, hidden, readout), (neuron, network) in zip(panels.T, networks.items()):
        activity = network.forward(spikes, solver="numpy-sequential")
        draw_raster(inputs, spikes.to_raster()[0], "input neuron", INPUT)
        draw_raster(hidden, activity.hidden[-1].spikes[0], "hidden neuron", NEURONS[neuron])
        inputs.set_title(f"{neuron}: {activity.spike_counts().sum()} hidden spikes")
        draw_readout(readout, activity, label, data.classes)
        readout.set_xlabel("time (steps)")
        legend_below(readout, ncols=2, title="class (others grey)")
    for axes in panels[:, 1:].flat:
        axes.set_ylabel(None)
    figure.suptitle(f"{data.name}: one test sample of class {data.classes[label]}{note}")
    return figure


def write_all(
    comparisons: Sequence[Comparison],
    points: Sequence[Comparison],
    snapshots: dict[str, Any],
    folder: Path,
    quick: bool = False,
) -> list[Path]:
    """Draw what is there into `folder`: bars of `comparisons`, the curve of `points`, snapshots; returns the files."""
    figures = {}
    if any(one.outcomes is not None for one in points):
        figures["curve"] = draw_curve(points, quick)
    if any(one.outcomes is not None for one in comparisons):
        figures["comparison"] = draw_bars(comparisons, quick)
    for name, (networks, data) in snapshots.items():
        note = f", recipe {name}{_QUICK if quick else ''}"
        figures[f"snapshot-{name}"] = draw_snapshot(networks, data, note)
    return [save(figure, folder / f"{name}.png") for name, figure in figures.items()]
