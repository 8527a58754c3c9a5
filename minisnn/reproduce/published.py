"""Published figures, from arXiv 2205.15286, version 1 (May 2022) and version 2 (October 2022).

Figures given with "about" in version 1 are read off its plots.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """Figures of one data set in one version of the paper."""

    single_spike: float  # test accuracy of this network, in %
    multi_spike: float
    fewer_spikes: float | None = None  # saved by the single-spike network, in % of the conventional network's
    speed_up: float | None = None  # of training, over the conventional network, on the authors' GPU


PUBLISHED = {
    ("fashion-mnist", "v1"): Published(81.0, 85.0, 83.0, 3.9),
    ("nmnist", "v1"): Published(83.5, 93.0, 95.68),
    ("shd", "v1"): Published(22.5, 51.5),
    ("yin-yang", "v2"): Published(98.02, 94.46),
    ("mnist", "v2"): Published(97.91, 98.20),
    ("fashion-mnist", "v2"): Published(89.05, 90.88, 53.0, 4.1),
    ("nmnist", "v2"): Published(96.34, 97.99),
    ("shd", "v2"): Published(70.32, 70.82),
}
