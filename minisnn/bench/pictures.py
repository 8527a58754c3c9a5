"""Pictures of ``minisnn bench``: bars of training steps, the grid as a heat map, curves of scaling (matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ..training.plotting import save
from .grid import Cell
from .scaling import AXES, Series
from .step import StepLine

__all__ = ["DRAW", "save"]


def draw_steps(lines: Sequence[StepLine]) -> Figure:
    """Times of one training step, a panel for every workload and rule, the gemm floor as a line."""
    groups = list(dict.fromkeys((line.workload, line.rule) for line in lines))
    figure = Figure(figsize=(10, 2.6 * len(groups)), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
    for axes, group in zip(panels, groups):
        here = [one for one in lines if (one.workload, one.rule) == group]
        shown = [one for one in here if one.fault is None]
        labels = [f"{one.contestant.label} ({one.contestant.threads})" for one in shown]
        times = [(one.min_ms, one.median_ms, one.max_ms) for one in shown]
        low, median, high = np.array(times, dtype=float).reshape(-1, 3).T
        spread = [median - low, high - median]
        axes.errorbar(median, labels, xerr=spread, fmt="o", color="#0072b2", ecolor="0.5", capsize=3)
        axes.axvline(here[0].gemm_floor_ms, color="#d55e00", linestyle="--", label="gemm floor")
        axes.set(xscale="log", title=f"{group[0]}, rules {group[1]}", xlabel="ms per training step")
        axes.invert_yaxis()
        axes.grid(axis="x", which="both", alpha=0.3)
        axes.legend(loc="lower right", fontsize="small")
    return figure


def draw_grid(cells: Sequence[Cell]) -> Figure:
    """Heat maps of conventional over single-spike time: forward, backward, both; a row per density and batch."""
    groups = list(dict.fromkeys((cell.density, cell.batch) for cell in cells))
    sizes, steps = sorted({c.n_out for c in cells}), sorted({c.n_steps for c in cells})
    ratios = [np.log10(c.ratios) for c in cells if c.ratios]
    limit = max(0.1, float(np.abs(ratios).max())) if ratios else 1.0
    figure = Figure(figsize=(13, 1.2 + (0.9 + 0.35 * len(sizes)) * len(groups)), layout="constrained")
    panels = figure.subplots(len(groups), 3, squeeze=False)
    image = None
    for row, (density, batch) in zip(panels, groups):
        for k, (axes, name) in enumerate(zip(row, ("forward", "backward", "forward and backward"))):
            values = np.full((len(sizes), len(steps)), np.nan)
            for cell in cells:
                if (cell.density, cell.batch) == (density, batch) and cell.ratios:
                    values[sizes.index(cell.n_out), steps.index(cell.n_steps)] = cell.ratios[k]
            image = axes.imshow(
                np.log10(values), origin="lower", aspect="auto", cmap="RdBu", vmin=-limit, vmax=limit
            )
            for (i, j), value in np.ndenumerate(values):
                if np.isfinite(value):
                    colour = "w" if abs(np.log10(value)) > 0.6 * limit else "k"
                    axes.text(j, i, f"{value:.3g}", ha="center", va="center", fontsize=7, color=colour)
            axes.set_xticks(range(len(steps)), [str(n) for n in steps], fontsize=7)
            axes.set_yticks(range(len(sizes)), [str(n) for n in sizes], fontsize=7)
            axes.set_title(f"{name}: {density} input, batch {batch}", fontsize=9)
            axes.set(xlabel="T (steps)", ylabel="n (neurons)" if k == 0 else None)
    if image is not None:
        figure.colorbar(image, ax=panels, label="log10 of conventional / single-spike time")
    return figure


def draw_scaling(series: Sequence[Series]) -> Figure:
    """Time against every axis, log-log, a panel each."""
    axes_names = list(dict.fromkeys(one.axis for one in series))
    figure = Figure(figsize=(3.6 * len(axes_names), 3.4), layout="constrained")
    for axes, axis in zip(figure.subplots(1, len(axes_names), squeeze=False)[0], axes_names):
        for one in series:
            if one.axis == axis and one.median_ms is not None:
                slope = "" if one.fitted is None else f", p = {one.fitted:.2f}"
                axes.plot(one.sizes, one.median_ms, marker="o", label=f"{one.workload}{slope}")
        axes.set(xscale="log", yscale="log", xlabel=AXES[axis], ylabel="ms per training step")
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3, which="both")
    return figure


DRAW = {"step": draw_steps, "grid": draw_grid, "scaling": draw_scaling}
