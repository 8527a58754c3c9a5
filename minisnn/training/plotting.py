"""Pictures of runs: learning curves, activity of one sample, decision regions (matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from ..activity import Activity
from ..datasets import Dataset, latency_linear
from ..datasets.nmnist import SIDE
from ..datasets.yin_yang import yin_yang_class
from ..files import write_atomically
from ..model import ReadoutTrace
from ..network import Network
from ..spikes import SpikeEvents
from .colours import ANSWER, CLASSES, COLOURS, INPUT, LABEL, NEURONS, OTHERS, PARTS, THRESHOLD
from .metrics import EpochMetrics

__all__ = [
    "BESIDE", "draw_activity", "draw_decision_regions", "draw_learning_curves", "draw_raster", "draw_readout",
    "draw_run", "legend_below", "running_logits", "save",
]  # fmt: skip

_SMALL: dict[str, Any] = {"fontsize": "small", "frameon": False}
# Where a legend covers nothing; `legend_below` is another place.
BESIDE = _SMALL | {"loc": "upper left", "bbox_to_anchor": (1.01, 1.04), "alignment": "left"}


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, whole or not at all; its folder is made if it is missing."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=120))
    return Path(path)


def legend_below(axes: Any, **options: Any) -> None:
    """A legend under the name of the horizontal axis, however high the panel is."""
    below = axes.transAxes + ScaledTranslation(0, -0.5, axes.figure.dpi_scale_trans)
    axes.legend(**_SMALL, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=below, **options)


def draw_run(folder: Path, history: Sequence[EpochMetrics], network: Network, data: Dataset) -> list[Path]:
    """Draw everything that belongs to a run into its folder; returns the files."""
    figures = {"learning_curves": draw_learning_curves(history), "activity": draw_activity(network, data)}
    if _known(data) == "yin-yang":
        figures["decision_regions"] = draw_decision_regions(network, data)
    return [save(figure, folder / f"{name}.png") for name, figure in figures.items()]


def _known(data: Dataset) -> str:
    """Name of the data set; empty if it is your own, whose samples may be anything."""
    return "" if data.fingerprint else data.name


def draw_learning_curves(history: Sequence[EpochMetrics]) -> Figure:
    """Loss, accuracy and spikes per sample against the epoch."""
    epochs = [metrics.epoch for metrics in history]
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    loss, accuracy, spikes = figure.subplots(1, 3)
    # A curve may touch the frame: it is drawn whole.
    style: dict[str, Any] = {"marker": ".", "clip_on": False, "zorder": 3}
    losses = [m.train_loss for m in history]
    loss.plot(epochs, losses, color=PARTS["train"], label="train", **style)
    loss.set(ylabel="cross-entropy (nats)", title="Loss", ylim=(0, 1.05 * max(losses) or 1))
    for name, colour in PARTS.items():
        if getattr(history[0], f"{name}_accuracy") is None:  # there is no validation part
            continue
        values = [100 * getattr(m, f"{name}_accuracy") for m in history]
        accuracy.plot(epochs, values, color=colour, label=f"{name}, last {values[-1]:.2f} %", **style)
    accuracy.set(ylabel="accuracy (%)", title="Accuracy")
    for k in range(len(history[0].spikes_per_layer)):
        values = [m.spikes_per_layer[k] for m in history]
        label = f"hidden{k + 1}, last {values[-1]:.1f}"
        spikes.plot(epochs, values, color=COLOURS[k % len(COLOURS)], label=label, **style)
    most = max(max(m.spikes_per_layer) for m in history)
    spikes.set(ylabel="spikes per test sample", title="Activity", ylim=(0, 1.05 * most or 1))
    for axes in (loss, accuracy, spikes):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        legend_below(axes)
        axes.grid(alpha=0.3)
    return figure


def draw_activity(network: Network, data: Dataset) -> Figure:
    """The first test sample on its way: input, hidden spikes, a few potentials, the readout, the logits as they grow.

    Images and the points of Yin-Yang are shown as what they are, too.
    """
    spikes, label = data.test.batch(np.arange(1)), int(data.test.labels[0])
    activity = network.forward(spikes, solver="numpy-sequential")
    figure = Figure(figsize=(10, 10.5), layout="constrained")
    inputs, hidden, traces, readout, logits = figure.subplots(
        5, 1, sharex=True, height_ratios=(1.5, 1.2, 1.6, 1.3, 1.3)
    )
    draw_raster(inputs, spikes.to_raster()[0], "input neuron", INPUT)
    _draw_sample(inputs, spikes, _known(data))
    last = activity.hidden[-1]
    draw_raster(hidden, last.spikes[0], "hidden neuron", NEURONS[last.neuron])
    first_times = last.spike_times[0]
    order = np.argsort(first_times, kind="stable")
    shown = order[np.linspace(0, len(order) - 1, min(4, len(order))).astype(int)]
    for colour, neuron in zip(COLOURS, shown):
        traces.plot(last.membrane[0, :, neuron], color=colour, label=f"neuron {neuron}")
        time = int(first_times[neuron])
        if time < spikes.n_steps:
            traces.plot(time, last.potential[0, time, neuron], "o", color=colour)
            hidden.plot(time, neuron, "o", color=colour, markersize=5, clip_on=False)
    traces.axhline(
        network.config.threshold, color=THRESHOLD, linestyle="--", linewidth=1, label="threshold", zorder=0
    )
    traces.set(ylabel="potential (thresholds)")
    traces.legend(**BESIDE, title="dot: first spike")
    draw_readout(readout, activity, label, data.classes)
    readout.legend(**BESIDE, title="class (others grey)")
    running = running_logits(activity.readout)[0]
    answer = int(running[-1].argmax())
    _draw_classes(logits, running, label, answer, data.classes)
    rule = {"sum": "sum", "max": "maximum"}[activity.readout.readout]
    logits.set(ylabel="logit so far", xlabel="time (steps)")
    logits.text(
        1.015, 0.95, f"{rule} of the readout\nup to each step,\ntimes {activity.readout.logit_scale:g}",
        transform=logits.transAxes, va="top", fontsize="small",
    )  # fmt: skip
    names = data.classes[label], data.classes[answer]
    inputs.set_title(f"One test sample of class {names[0]}, classified as {names[1]}; a tick is a spike")
    return figure


def running_logits(trace: ReadoutTrace) -> NDArray[Any]:
    """(B, T, n_classes) the logits that the readout would give if it ended with each step (Eq. 17)."""
    upto: Any = np.cumsum if trace.readout == "sum" else np.maximum.accumulate
    logits: NDArray[Any] = trace.logit_scale * upto(trace.membrane, axis=1)
    return logits


def draw_raster(axes: Any, raster: Any, name: str, colour: str) -> None:
    """A raster (T, N) as ticks, with the name of its neurons."""
    times, neurons = np.nonzero(raster)
    # Ticks of few neurons are tall enough to be seen, those of many do not run into each other.
    size = float(np.clip(4000 / raster.shape[1], 6, 200))
    axes.scatter(times, neurons, s=size, c=colour, marker="|")
    room = 0.5 + 0.03 * raster.shape[1]
    axes.set(ylabel=name, ylim=(-room, raster.shape[1] - 1 + room))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def draw_readout(axes: Any, activity: Activity, label: int, classes: Sequence[str]) -> None:
    """The readout's potentials of the first sample: its label and the answer stand out, with their names."""
    answer = int(activity.logits[0].argmax())
    _draw_classes(axes, activity.readout.membrane[0], label, answer, classes)
    axes.set_ylabel("readout (thresholds)")


def _draw_classes(axes: Any, traces: NDArray[Any], label: int, answer: int, classes: Sequence[str]) -> None:
    """Traces (T, n_classes): grey but for those of the label and of the answer."""
    axes.plot(traces, color=OTHERS, linewidth=0.8)
    right = label == answer
    text = f"{classes[label]}, {'label and answer' if right else 'the label'}"
    axes.plot(traces[:, label], color=LABEL, linewidth=2, label=text)
    if not right:
        axes.plot(traces[:, answer], "--", color=ANSWER, linewidth=2, label=f"{classes[answer]}, the answer")


def _draw_sample(axes: Any, spikes: SpikeEvents, name: str) -> None:
    """Beside the input's raster: an image by the times of its spikes or by their number, or the point of Yin-Yang."""
    if name not in ("yin-yang", "mnist", "fashion-mnist", "nmnist"):
        return
    room = axes.inset_axes((1.02, 0, 0.16, 1))
    room.set(xticks=[], yticks=[], anchor="W")
    if name == "yin-yang":
        grid = np.linspace(0, 1, 60)
        classes = [[np.nan if (c := yin_yang_class(x, y)) is None else c for x in grid] for y in grid]
        room.imshow(
            np.array(classes, float), origin="lower", extent=(0, 1, 0, 1), cmap=ListedColormap(CLASSES),
            alpha=0.45,
        )  # fmt: skip
        room.plot(*_points(spikes)[0], "o", color=LABEL, markersize=5)
        room.set_xlabel("the point", fontsize="small")
        return
    if name == "nmnist":
        image = spikes.to_raster()[0].sum(axis=0, dtype=float).reshape(-1, SIDE, SIDE).sum(axis=0)
        room.set_xlabel("events a pixel", fontsize="small")
    else:
        image = spikes.n_steps - spikes.first_spike_times()[0].reshape(28, 28)
        room.set_xlabel("bright: early spike", fontsize="small")
    room.imshow(image, cmap="gray", vmin=0)


def _points(spikes: SpikeEvents) -> NDArray[np.float64]:
    """(B, 2) the points of Yin-Yang that the spikes stand for."""
    points: NDArray[np.float64] = 1 - spikes.first_spike_times()[:, :2] / max(1, spikes.n_steps - 1)
    return points


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
    figure = Figure(figsize=(6.4, 5.5), layout="constrained")
    axes = figure.subplots()
    colours = ListedColormap(CLASSES)
    axes.imshow(picture, origin="lower", extent=(0, 1, 0, 1), cmap=colours, vmin=0, vmax=2, alpha=0.45)
    shown = np.arange(min(600, len(data.test)))
    points, labels = _points(data.test.batch(shown)), data.test.labels[shown]
    for k, name in enumerate(("yang", "yin", "dot")):
        x, y = points[labels == k].T
        axes.scatter(x, y, color=CLASSES[k], s=9, edgecolors="k", linewidths=0.3, label=name)
    axes.set(xlabel="x", ylabel="y", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_title(f"Regions: the network's answer. Dots: {len(shown)} test samples", fontsize="medium")
    axes.legend(**BESIDE, title="class")
    return figure
