"""The common look of the pictures on the pages: one colour for one thing everywhere.

The colours are those of minisnn's own pictures. Shapes differ too: a potential is a line with a dot at every step, a
spike is a tick.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib_inline.backend_inline import set_matplotlib_formats

from minisnn.training.colours import *  # noqa: F403  (the pages take them from here)
from minisnn.training.colours import POTENTIAL, SPIKE, THRESHOLD

set_matplotlib_formats("svg")
plt.rcParams |= {
    "figure.figsize": (7, 3),
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.hashsalt": "minisnn",
}


def stack(*heights, width=7.0):
    """Plots below each other that share the axis of time; heights and width in inches."""
    size = (width, sum(heights))
    figure, axes = plt.subplots(
        len(heights), 1, sharex=True, height_ratios=heights, figsize=size, squeeze=False
    )
    axes[-1, 0].set_xlabel("step t")
    return figure, axes[:, 0]


def draw_potential(axes, potential, threshold=1.0, colour=POTENTIAL, label=None):
    """A potential (T,) and the threshold."""
    axes.plot(potential, color=colour, marker=".", markersize=4, linewidth=1.2, label=label)
    axes.axhline(threshold, color=THRESHOLD, linestyle="--", linewidth=1)
    axes.set_ylabel("potential\n(thresholds)")


def draw_spikes(axes, potential, steps, colour=SPIKE, label=None):
    """Spikes as strokes that rise from a potential at some steps."""
    low, high = axes.get_ylim()
    top = max(high, np.max(potential) + 0.25 * (high - low))
    axes.vlines(steps, potential[steps], top, color=colour, linewidth=2.5, label=label)
    axes.set_ylim(low, top)


def draw_rows(axes, rows):
    """Rows of ticks below each other, {name: (values (T,), colour)}: a tick at every step that is not 0."""
    for k, (values, colour) in enumerate(rows.values()):
        steps = np.flatnonzero(values)
        axes.vlines(steps, k - 0.38, k + 0.38, color=colour, linewidth=2)
    axes.set(yticks=range(len(rows)), yticklabels=list(rows), ylim=(len(rows) - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
