"""Adam's update as one compiled pass over a parameter, on all cores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def adam_update(*args):
    raise SystemError
