"""Pictures of ``minisnn bench``: training steps, the grid as heat maps, curves of scaling (matplotlib)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..training.colours import COLOURS, NEURONS, THRESHOLD
from ..training.plotting import legend_below, save
from .grid import Cell
from .scaling import AXES, Series
from .step import StepLine


def draw_steps(lines: Sequence[StepLine], budget: str) -> Figure:
    """Times of one training step, a panel for every workload and rule, beside those of dense products alone."""
    groups = list(dict.fromkeys((line.workload, line.rule) for line in lines))
    figure = Figure(figsize=(10, 0.8 + 2.4 * len(groups)), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False, sharex=True)[:, 0]
    for axes, group in zip(panels, groups):
        here = [one for one in lines if (one.workload, one.rule) == group]
        shown = [one for one in here if one.fault is None]
        for k, one in enumerate(shown):
            low, median, high = (float(ms or np.nan) for ms in (one.min_ms, one.median_ms, one.max_ms))
            colour = NEURONS[one.contestant.neuron]
            spread = [[median - low], [high - median]]
            axes.errorbar(median, k, xerr=spread, fmt="o", color=colour, ecolor=colour, capsize=3)
        axes.set_yticks(
            range(len(shown)), [f"{one.contestant.label} ({one.contestant.threads})" for one in shown]
        )
        axes.axvline(here[0].dense_products_ms, color=THRESHOLD, linestyle="--", label="dense products alone")
        axes.set(xscale="log", title=f"{group[0]}, rules {group[1]}", ylim=(len(shown) - 0.5, -0.5))
        _plain_numbers(axes.xaxis)
        axes.grid(axis="x", which="both", alpha=0.3)
    panels[-1].set_xlabel("ms per training step: median, smallest and largest (threads in brackets)")
    legend_below(panels[-1])
    figure.suptitle(f"One training step, {budget}")
    return figure


def draw_grid(cells: Sequence[Cell], budget: str) -> Figure:
    """Heat maps of conventional over single-spike time: forward, backward, both; a row per density and batch."""
    groups = list(dict.fromkeys((cell.density, cell.batch) for cell in cells))
    sizes, steps = sorted({c.n_out for c in cells}), sorted({c.n_steps for c in cells})
    ratios = [np.log10(c.ratios) for c in cells if c.ratios]
    limit = 10 ** max(0.1, float(np.abs(ratios).max())) if ratios else 10.0
    figure = Figure(figsize=(13, 1.6 + (0.7 + 0.35 * len(sizes)) * len(groups)), layout="constrained")
    panels = figure.subplots(len(groups), 3, squeeze=False)
    image = None
    for row, (density, batch) in zip(panels, groups):
        for k, (axes, name) in enumerate(zip(row, ("forward", "backward", "forward and backward"))):
            values = np.full((len(sizes), len(steps)), np.nan)
            for cell in cells:
                if (cell.density, cell.batch) == (density, batch) and cell.ratios:
                    values[sizes.index(cell.n_out), steps.index(cell.n_steps)] = cell.ratios[k]
            image = axes.imshow(
                values, origin="lower", aspect="auto", cmap="RdBu", norm=LogNorm(1 / limit, limit)
            )
            for (i, j), value in np.ndenumerate(values):
                if np.isfinite(value):
                    colour = "w" if abs(np.log(value)) > 0.6 * np.log(limit) else "k"
                    axes.text(j, i, f"{value:.3g}", ha="center", va="center", fontsize=7, color=colour)
            axes.set_xticks(range(len(steps)), [str(n) for n in steps], fontsize=7)
            axes.set_yticks(range(len(sizes)), [str(n) for n in sizes], fontsize=7)
            axes.set_title(f"{name}: {density} input, batch {batch}", fontsize=9)
            if k == 0:
                axes.set_ylabel("n (neurons)")
    for axes in panels[-1]:
        axes.set_xlabel("T (steps)")
    if image is not None:
        bar = figure.colorbar(image, ax=panels, label="times faster than conventional stepping")
        ticks = [tick for tick in (0.2, 0.5, 1, 2, 5, 10, 20, 50) if 1 / limit <= tick <= limit]
        bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        bar.minorticks_off()
    figure.suptitle(f"One layer against stepping, {budget}")
    return figure


def draw_scaling(series: Sequence[Series], budget: str) -> Figure:
    """Time against every axis, log-log, a panel each."""
    axes_names = list(dict.fromkeys(one.axis for one in series))
    workloads = list(dict.fromkeys(one.workload for one in series))
    figure = Figure(figsize=(3.6 * len(axes_names), 4.8), layout="constrained")
    for axes, axis in zip(figure.subplots(1, len(axes_names), squeeze=False)[0], axes_names):
        sizes = sorted({size for one in series if one.axis == axis for size in one.sizes})
        for one in series:
            if one.axis == axis and one.median_ms is not None:
                slope = "" if one.fitted is None else f", p = {one.fitted:.2f}"
                axes.plot(
                    one.sizes, one.median_ms, "-" if one.rule == "v1" else "--", marker="o",
                    color=COLOURS[workloads.index(one.workload)], label=f"{one.workload} {one.rule}{slope}",
                )  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel=AXES[axis], ylabel="ms per training step")
        axes.set_xticks(sizes, [str(size) for size in sizes], minor=False)
        axes.xaxis.set_minor_formatter(NullFormatter())
        _plain_numbers(axes.yaxis)
        legend_below(axes)
        axes.grid(alpha=0.3, which="both")
    figure.suptitle(f"Time ~ size^p: {series[0].solver}, {budget}")
    return figure


def _plain_numbers(axis: Any) -> None:
    """Ticks of a logarithmic axis as one reads them."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


DRAW: dict[str, Callable[..., Figure]] = {"step": draw_steps, "grid": draw_grid, "scaling": draw_scaling}


def write(kind: str, results: Any, budget: str, folder: Path) -> Path:
    """Draw the results of that kind of measurement into a folder; returns the file."""
    return save(DRAW[kind](results, budget), folder / f"bench_{kind}.png")
