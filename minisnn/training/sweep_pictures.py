"""Pictures of a sweep: accuracy against every varied option, and against hidden spikes (matplotlib)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .colours import COLOURS
from .plotting import BESIDE, legend_below, save
from .sweep import Sweep, spelled

__all__ = ["draw_options", "draw_spikes", "write_all"]

_LABELS = 12  # more lines than these have no legend


def write_all(sweep: Sweep, result: dict[str, Any], folder: Path) -> list[Path]:
    """Draw both pictures of the settings with finished trainings into `folder`; returns the files."""
    settings = [entry for entry in result["settings"] if entry["finished"]]
    figures = {"options": draw_options(sweep, settings), "spikes": draw_spikes(sweep, settings)}
    return [save(figure, folder / f"{name}.png") for name, figure in figures.items()]


def draw_options(sweep: Sweep, settings: list[dict[str, Any]]) -> Figure:
    """Mean accuracy with its s.d. against every varied option, a line for every combination of the others."""
    figure = Figure(figsize=(1 + 4 * len(sweep.over), 4), layout="constrained")
    panels = figure.subplots(1, len(sweep.over), sharey=True, squeeze=False)[0]
    name, means, sds = _accuracy(settings)
    for axes, (option, values) in zip(panels, sweep.over.items()):
        # Numbers have places of their own; anything else stands in the order in which it was given.
        numbers = all(isinstance(_number(value), (int, float)) for value in values)
        places = [float(_number(value)) if numbers else k for k, value in enumerate(values)]
        lines: dict[str, list[tuple[float, float, float]]] = {}
        for entry, mean, sd in zip(settings, means, sds):
            label = ", ".join(f"{other} {spelled(entry[other])}" for other in sweep.over if other != option)
            lines.setdefault(label, []).append((places[values.index(entry[option])], mean, sd))
        for k, (label, points) in enumerate(lines.items()):
            x, y, error = zip(*sorted(points))
            axes.errorbar(x, y, error, marker=".", capsize=3, color=COLOURS[k % len(COLOURS)], label=label)
        if numbers and min(places) > 0 and max(places) >= 10 * min(places):
            axes.set_xscale("log")
        axes.set_xticks(places, [spelled(value) or "none" for value in values])
        axes.minorticks_off()
        axes.set(xlabel=option)
        axes.grid(alpha=0.3)
        if 1 < len(lines) <= _LABELS:
            legend_below(axes)
    panels[0].set(ylabel=f"{name} accuracy (%)")
    figure.suptitle(_budget(settings))
    return figure


def draw_spikes(sweep: Sweep, settings: list[dict[str, Any]]) -> Figure:
    """Mean accuracy of every setting against its hidden spikes, both with their s.d."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    name, means, sds = _accuracy(settings)
    spikes, spread = _moments(settings, "spikes_per_sample")
    for k, entry in enumerate(settings):
        label = ", ".join(f"{option} {spelled(entry[option])}" for option in sweep.over)
        colour = COLOURS[k % len(COLOURS)]
        axes.errorbar(
            spikes[k], means[k], sds[k], spread[k], marker="o", capsize=3, color=colour, label=label
        )
    axes.set(xlabel="hidden spikes a sample", ylabel=f"{name} accuracy (%)")
    axes.grid(alpha=0.3)
    if len(settings) <= _LABELS:
        axes.legend(**BESIDE)
    figure.suptitle(_budget(settings))
    return figure


def _budget(settings: list[dict[str, Any]]) -> str:
    numbers = sorted({entry["finished"] for entry in settings})
    return (
        f"Mean and s.d. of trainings, {' to '.join(map(str, numbers[:1] + numbers[1:][-1:]))} of each setting"
    )


def _accuracy(settings: list[dict[str, Any]]) -> tuple[str, Any, Any]:
    """Which accuracy there is of all settings, its means and s.d. in %."""
    validated = all(entry["validation_accuracy_mean"] is not None for entry in settings)
    name = "validation" if validated else "test"
    means, sds = _moments(settings, f"{name}_accuracy")
    return name, 100 * means, 100 * sds


def _moments(settings: list[dict[str, Any]], key: str) -> tuple[Any, Any]:
    """Means and s.d. of an entry; no s.d. counts as 0."""
    means = np.array([entry[f"{key}_mean"] for entry in settings])
    return means, np.array([entry[f"{key}_sd"] or 0.0 for entry in settings])


def _number(value: Any) -> Any:
    """A value, or the only one of a list; a switch is no number."""
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    return None if isinstance(value, bool) else value
