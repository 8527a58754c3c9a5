"""The paper's figures: bars of accuracy, speed-up and spikes saved, and both networks with one sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..datasets import Dataset
from ..network import Network
from ..training.plotting import COLOURS, draw_raster, save
from .comparison import NEURONS, Comparison

__all__ = ["draw_bars", "draw_snapshot", "write_all"]


def draw_bars(comparisons: Sequence[Comparison]) -> Figure:
    """Accuracy, speed-up and spikes saved of every recipe, with the published figures as diamonds."""
    shown = [one for one in comparisons if one.outcomes is not None]
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    accuracy, speed, saved = figure.subplots(1, 3)
    place = np.arange(len(shown))

    def diamonds(axes: Any, x: Any, name: str, label: str | None = "published") -> None:
        values = np.array([getattr(one.published, name, None) for one in shown], dtype=float)
        if not np.isnan(values).all():
            axes.plot(x, values, "D", color="k", markersize=5, linestyle="none", label=label)

    lowest = 100.0
    for k, neuron in enumerate(NEURONS):
        x, values = place + 0.4 * k - 0.2, [one.mean(neuron, one.accuracy_key) for one in shown]
        means, sds = 100 * np.array(values, dtype=float).T  # no s.d. is NaN
        accuracy.bar(x, means, 0.38, color=COLOURS[k], label=neuron, yerr=sds, capsize=3)
        diamonds(accuracy, x, neuron.replace("-", "_"), "published" if k == 0 else None)
        lowest = min(lowest, *means)
        ratios = [one.speed.ratios[k] if one.speed else np.nan for one in shown]
        baseline = ("(a) dense products", "(b) same events")[k]
        speed.bar(x, ratios, 0.38, color=COLOURS[k + 2], label=f"over {baseline}")
    accuracy.set(ylabel="accuracy (%)", ylim=(max(0.0, lowest - 15), 100), title="Accuracy")
    diamonds(speed, place, "speed_up")
    speed.axhline(1, color="0.4", linewidth=1, linestyle="--")
    speed.set(ylabel="times faster than conventional", title="Training step")
    fewer = np.array([100 * one.fewer_spikes for one in shown])
    saved.bar(place, fewer, 0.5, color=COLOURS[0], label="single-spike")
    saved.axhline(0, color="0.4", linewidth=1)
    diamonds(saved, place, "fewer_spikes")
    # After a short training there may be more spikes than the conventional network's: the bar hangs below the line.
    bottom = 1.1 * fewer.min(initial=0.0, where=~np.isnan(fewer))
    saved.set(ylabel="hidden spikes saved (%)", ylim=(bottom, 100), title="Spikes")
    for axes in (accuracy, speed, saved):
        names = [f"{one.recipe}\n{'-'.join(map(str, one.sizes))}" for one in shown]
        axes.set_xticks(place, names, fontsize="small")
        axes.grid(axis="y", alpha=0.3)
        axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.14))
    figure.suptitle(f"{shown[0].dataset}: single-spike against conventional networks")
    return figure


def draw_snapshot(networks: dict[str, Network], data: Dataset) -> Figure:
    """Input raster, hidden raster and readout traces of every network for the first test sample."""
    spikes, label = data.test.batch(np.arange(1)), int(data.test.labels[0])
    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(3, len(networks), sharex=True, sharey="row", squeeze=False)
    for (inputs, hidden, readout), (neuron, network) in zip(panels.T, networks.items()):
        activity = network.forward(spikes, solver="numpy-sequential")
        draw_raster(inputs, spikes.to_raster()[0], "input neuron", "k")
        draw_raster(hidden, activity.hidden[-1].spikes[0], "hidden neuron", COLOURS[0])
        inputs.set_title(f"{neuron}: {activity.spike_counts().sum()} hidden spikes")
        answer, traces = int(activity.logits[0].argmax()), activity.readout.membrane[0]
        readout.plot(traces, color="0.75", linewidth=0.8)
        classes = [(label, "the label", "-"), (answer, "the answer", "--")]
        for colour, (k, name, style) in zip(COLOURS, classes[: 1 + (answer != label)]):
            readout.plot(
                traces[:, k], style, color=colour, linewidth=2.2, label=f"{data.class_name(k)}, {name}"
            )
        readout.set(xlabel="time (steps)", ylabel="readout (thresholds)")
        readout.legend(
            fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2,
            title="class (others grey)",
        )  # fmt: skip
    figure.suptitle(f"{data.name}: one test sample of class {data.class_name(label)}")
    return figure


def write_all(comparisons: Sequence[Comparison], snapshots: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the bars of all comparisons that are not absent, and every snapshot, into `folder`; returns the files."""
    figures = {f"snapshot-{name}": draw_snapshot(*shown) for name, shown in snapshots.items()}
    if any(one.outcomes is not None for one in comparisons):
        figures = {"comparison": draw_bars(comparisons)} | figures
    return [save(figure, folder / f"{name}.png") for name, figure in figures.items()]
