"""Pictures of runs: learning curves, activity of one sample, decision regions (matplotlib)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from ..datasets import Dataset, latency_linear
from ..files import write_atomically
from ..network import Network
from ..spikes import SpikeEvents
from .metrics import EpochMetrics

__all__ = [
    "draw_activity",
    "draw_decision_regions",
    "draw_learning_curves",
    "draw_raster",
    "draw_run",
    "save",
]

# Hues that stay apart for colour-blind eyes and in print.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, whole or not at all; its folder is made if it is missing."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=120))
    return Path(path)


def draw_run(folder: Path, history: Sequence[EpochMetrics], network: Network, data: Dataset) -> list[Path]:
    """Draw everything that belongs to a run into its folder; returns the files."""
    sample, label = data.test.batch(np.arange(1)), int(data.test.labels[0])
    figures = {
        "learning_curves": draw_learning_curves(history),
        "activity": draw_activity(network, sample, label, data.class_name),
    }
    if data.name == "yin-yang":
        figures["decision_regions"] = draw_decision_regions(network, data)
    return [save(figure, folder / f"{name}.png") for name, figure in figures.items()]


def draw_learning_curves(history: Sequence[EpochMetrics]) -> Figure:
    """Loss, accuracy and spikes per sample against the epoch."""
    epochs = [metrics.epoch for metrics in history]
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    loss, accuracy, spikes = figure.subplots(1, 3)
    loss.plot(epochs, [m.train_loss for m in history], color=COLOURS[0], marker=".", label="train")
    loss.set(xlabel="epoch", ylabel="cross-entropy (nats)", title="Loss", ylim=(0, None))
    for name, colour in (("train", COLOURS[0]), ("validation", COLOURS[2]), ("test", COLOURS[1])):
        if getattr(history[0], f"{name}_accuracy") is None:  # there is no validation part
            continue
        values = [100 * getattr(m, f"{name}_accuracy") for m in history]
        accuracy.plot(epochs, values, color=colour, marker=".", label=f"{name}, last {values[-1]:.2f} %")
    accuracy.set(xlabel="epoch", ylabel="accuracy (%)", title="Accuracy")
    accuracy.legend(loc="lower right")
    for k in range(len(history[0].spikes_per_layer)):
        values = [m.spikes_per_layer[k] for m in history]
        spikes.plot(epochs, values, color=COLOURS[k % len(COLOURS)], marker=".", label=f"hidden {k + 1}")
    spikes.set(xlabel="epoch", ylabel="spikes per test sample", title="Activity", ylim=(0, None))
    spikes.legend(loc="lower right")
    for axes in (loss, accuracy, spikes):
        axes.grid(alpha=0.3)
    return figure


def draw_activity(
    network: Network, spikes: SpikeEvents, label: int, class_name: Callable[[int], str] = str
) -> Figure:
    """Input raster, hidden raster, a few membrane traces and the readout of one sample."""
    activity = network.forward(spikes, solver="numpy-sequential")
    figure = Figure(figsize=(9, 9), layout="constrained")
    inputs, hidden, traces, readout = figure.subplots(4, 1, sharex=True, height_ratios=(1, 1.4, 1.6, 1.4))
    draw_raster(inputs, spikes.to_raster()[0], "input neuron", "k")
    last = activity.hidden[-1]
    draw_raster(hidden, last.spikes[0], "hidden neuron", COLOURS[0])
    first_times = last.spike_times[0]
    shown = np.argsort(first_times, kind="stable")[:: max(1, len(first_times) // 4)][:4]
    for colour, neuron in zip(COLOURS, shown):
        traces.plot(last.membrane[0, :, neuron], color=colour, label=f"neuron {neuron}")
        time = int(first_times[neuron])
        if time < spikes.n_steps:
            traces.plot(time, last.potential[0, time, neuron], "o", color=colour)
    traces.axhline(network.config.threshold, color="0.3", linestyle="--", linewidth=1, label="threshold")
    traces.set(ylabel="membrane (thresholds)")
    traces.legend(loc="upper left", fontsize="small", ncols=5)
    for k, trace in enumerate(activity.readout.membrane[0].T):
        width, name = (2.5, f"{class_name(k)} (label)") if k == label else (1.0, class_name(k))
        readout.plot(trace, linewidth=width, label=name)
    answer = int(activity.logits[0].argmax())
    readout.set(ylabel="readout (thresholds)", xlabel="time (steps)")
    readout.legend(loc="upper left", fontsize="small", ncols=5, title="class")
    inputs.set_title(
        f"One sample of class {class_name(label)}, classified as {class_name(answer)}; ticks and dots mark spikes"
    )
    return figure


def draw_raster(axes: Any, raster: Any, name: str, colour: str) -> None:
    """A raster (T, N) as ticks, with the name of its neurons."""
    times, neurons = np.nonzero(raster)
    axes.scatter(times, neurons, s=6, c=colour, marker="|")
    axes.set(ylabel=name, ylim=(-1, raster.shape[1]))


def draw_decision_regions(network: Network, data: Dataset) -> Figure:
    """The network's answers all over the Yin-Yang disc, with test samples on top."""
    grid = np.linspace(0, 1, 120)
    x, y = (values.ravel() for values in np.meshgrid(grid, grid))
    times = latency_linear(np.stack([x, y, 1 - x, 1 - y], axis=1), data.n_steps)
    answers = []
    for part in np.array_split(times, max(1, len(times) // 2000)):
        events = SpikeEvents.from_spike_times(part, data.n_steps)
        answers += network.forward(events, solver="numpy-sequential").logits.argmax(1).tolist()
    inside = (x - 0.5) ** 2 + (y - 0.5) ** 2 <= 0.25
    picture = np.where(inside, answers, np.nan).reshape(len(grid), len(grid))
    figure = Figure(figsize=(5.5, 5.5), layout="constrained")
    axes = figure.subplots()
    colours = ListedColormap(COLOURS[:3])
    axes.imshow(picture, origin="lower", extent=(0, 1, 0, 1), cmap=colours, vmin=0, vmax=2, alpha=0.45)
    shown = np.arange(min(600, len(data.test)))
    first = data.test.batch(shown).first_spike_times()
    place = 1 - first[:, :2] / (data.n_steps - 1)
    labels = data.test.labels[shown]
    axes.scatter(
        place[:, 0], place[:, 1], c=labels, cmap=colours, vmin=0, vmax=2, s=9, edgecolors="k", linewidths=0.3
    )
    axes.set(xlabel="x", ylabel="y", title="Decision regions, with test samples")
    return figure
