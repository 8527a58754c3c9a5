"""The paper's figures: bars of accuracy, speed-up and spikes saved, and what both networks do with one sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..datasets import Dataset
from ..network import Network
from ..training.plotting import COLOURS, save
from .comparison import NEURONS, Comparison

__all__ = ["draw_bars", "draw_snapshot", "write_all"]


def draw_bars(comparisons: Sequence[Comparison]) -> Figure:
    """Accuracy, speed-up and spikes saved of every recipe, with the published figures as diamonds."""
    shown = [one for one in comparisons if one.outcomes is not None]
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    accuracy, speed, saved = figure.subplots(1, 3)
    place = np.arange(len(shown))
    names = [f"{one.recipe}\n{'-'.join(map(str, one.sizes))}" for one in shown]
    for k, neuron in enumerate(NEURONS):
        values = [one.mean(neuron, one.accuracy_key) for one in shown]
        accuracy.bar(
            place + 0.4 * k - 0.2, [100 * mean for mean, _ in values], 0.38, color=COLOURS[k], label=neuron,
            yerr=[np.nan if sd is None else 100 * sd for _, sd in values], capsize=3,
        )  # fmt: skip
        published = [
            np.nan if one.published is None else (one.published.single_spike, one.published.multi_spike)[k]
            for one in shown
        ]
        _diamonds(accuracy, place + 0.4 * k - 0.2, published, "published" if k == 0 else None)
    low = min(100 * one.mean(neuron, one.accuracy_key)[0] for one in shown for neuron in NEURONS)
    accuracy.set(ylabel="accuracy (%)", ylim=(max(0.0, low - 15), 100), title="Accuracy")
    for k, label in enumerate(("(a) dense products", "(b) same events")):
        ratios = [one.speed.ratios[k] if one.speed else np.nan for one in shown]
        speed.bar(place + 0.4 * k - 0.2, ratios, 0.38, color=COLOURS[k + 2], label=f"over {label}")
    _diamonds(
        speed, place, [np.nan if one.published is None else one.published.speed_up or np.nan for one in shown]
    )
    speed.axhline(1, color="0.4", linewidth=1, linestyle="--")
    speed.set(ylabel="times faster than conventional", title="Training step")
    fewer = [100 * one.fewer_spikes for one in shown]
    saved.bar(place, fewer, 0.5, color=COLOURS[0], label="single-spike")
    saved.axhline(0, color="0.4", linewidth=1)
    _diamonds(
        saved,
        place,
        [np.nan if one.published is None else one.published.fewer_spikes or np.nan for one in shown],
    )
    # More spikes than the conventional network's, which short trainings give, hang below the line.
    lowest = min([value for value in fewer if not np.isnan(value)], default=0.0)
    saved.set(ylabel="hidden spikes saved (%)", ylim=(min(0.0, 1.1 * lowest), 100), title="Spikes")
    for axes in (accuracy, speed, saved):
        axes.set_xticks(place, names, fontsize="small")
        axes.grid(axis="y", alpha=0.3)
        axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.14))
    figure.suptitle(f"{shown[0].dataset}: single-spike against conventional networks")
    return figure


def _diamonds(axes: Any, place: Any, values: Sequence[float], label: str | None = "published") -> None:
    if not np.all(np.isnan(values)):
        axes.plot(place, values, "D", color="k", markersize=5, linestyle="none", label=label)


def draw_snapshot(networks: dict[str, Network], data: Dataset, sample: int = 0) -> Figure:
    """Input raster, hidden raster and readout traces of every network for one test sample."""
    spikes = data.test.batch(np.array([sample]))
    label = int(data.test.labels[sample])
    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(3, len(networks), sharex=True, sharey="row", squeeze=False)
    for (inputs, hidden, readout), (neuron, network) in zip(panels.T, networks.items()):
        activity = network.forward(spikes, solver="numpy-sequential")
        for axes, raster, name in (
            (inputs, spikes.to_raster()[0], "input neuron"),
            (hidden, activity.hidden[-1].spikes[0], "hidden neuron"),
        ):
            times, neurons = np.nonzero(raster)
            axes.scatter(times, neurons, s=7, c="k" if axes is inputs else COLOURS[0], marker="|")
            axes.set(ylim=(-1, raster.shape[1]))
            axes.set_ylabel(name)
        count = int(activity.spike_counts().sum())
        inputs.set_title(f"{neuron}: {count} hidden spikes")
        answer = int(activity.logits[0].argmax())
        traces = activity.readout.membrane[0]
        readout.plot(traces, color="0.75", linewidth=0.8)
        readout.plot(traces[:, label], color=COLOURS[0], linewidth=2.2, label=f"{label}, the label")
        if answer != label:
            readout.plot(
                traces[:, answer],
                color=COLOURS[1],
                linewidth=2.2,
                linestyle="--",
                label=f"{answer}, the answer",
            )
        readout.set(xlabel="time (steps)")
        readout.set_ylabel("readout (thresholds)")
        readout.legend(
            fontsize="small",
            loc="upper center",
            bbox_to_anchor=(0.5, -0.22),
            ncols=2,
            title="class (others grey)",
        )
    figure.suptitle(f"{data.name}: one test sample of class {label}")
    return figure


def write_all(comparisons: Sequence[Comparison], snapshots: dict[str, Any], folder: Path) -> list[Path]:
    """Draw what there is into `folder`; returns the files."""
    paths = []
    if any(one.outcomes is not None for one in comparisons):
        paths.append(save(draw_bars(comparisons), folder / "comparison.png"))
    for name, (networks, data) in snapshots.items():
        paths.append(save(draw_snapshot(networks, data), folder / f"snapshot-{name}.png"))
    return paths
