"""The parts of a network: its configuration, and its parameters as plain named arrays, checked, copied and loaded."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import solvers
from .checkpoints import best_file, checkpoint_file, count, read_checkpoint
from .checks import DTYPES, checked_count, checked_decay, checked_float, checked_gradient, checked_parameter
from .errors import DataError, InputError, one_line, shown
from .files import read_npz
from .model import READOUTS
from .reading import checked_flag, checked_name, checked_path, checked_type, read_array
from .solvers.compiled.workspace import Workspace
from .spikes import LARGEST

__all__ = ["NetworkConfig", "OwnParameters", "Parameters", "checked_parameters", "initial_parameters"]

Parameters = dict[str, NDArray[Any]]
Own = TypeVar("Own", bound="OwnParameters")


@dataclass(frozen=True)
class NetworkConfig:
    """Everything about a network that is not a parameter.

    Parameters
    ----------
    sizes : tuple of int
        Neurons of every layer: inputs, hidden layers (at least one), classes.
    neuron : {"single-spike", "multi-spike"}
        Kind of the hidden layers.
    gradient : {"straight-through", "gated"}
        Choice of g' (Eq. 6); single-spike only.
    surrogate_scale : float
        Steepness s of the surrogate derivative, per threshold.
    detach_reset : bool
        Leave the reset out of the gradient (Eq. 16); multi-spike only.
    readout : {"sum", "max"}
        How the readout's potential becomes a logit (Eq. 17).
    logit_scale : float
        Constant factor of the logits.
    threshold : float
        Firing threshold of the hidden neurons.
    hidden_decay, readout_decay : float
        Decays at the start, ``exp(-dt / tau)``; 10 and 20 steps by default.
    learn_decay : bool
        One learned decay per neuron, clipped to [0, 1] after every step; otherwise all stay as they start.
    hidden_gain : float
        Factor on the initial weights of the first hidden layer.
    spike_penalty : float
        Weight lambda of the mean number of hidden spikes per sample in the training loss (Eq. 19).
    dtype : {"float32", "float64"}
        Working precision.
    """

    sizes: tuple[int, ...]
    neuron: str = "single-spike"
    gradient: str = "straight-through"
    surrogate_scale: float = 10.0
    detach_reset: bool = False
    readout: str = "sum"
    logit_scale: float = 1.0
    threshold: float = 1.0
    hidden_decay: float = math.exp(-1 / 10)
    readout_decay: float = math.exp(-1 / 20)
    learn_decay: bool = True
    hidden_gain: float = 1.0
    spike_penalty: float = 0.0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        try:
            sizes = tuple(checked_count("sizes", n, low=1, high=LARGEST) for n in self.sizes)
        except (TypeError, InputError):
            sizes = ()
        if len(sizes) < 3:
            raise InputError(
                f"sizes must be at least (inputs, hidden, classes), whole numbers from 1 to {LARGEST}, "
                f"got {shown(self.sizes)}"
            )
        dtype = self.dtype if isinstance(self.dtype, (str, np.ndarray)) else _dtype_name(self.dtype)
        dtype = checked_name("dtype", dtype, [d.name for d in DTYPES])
        # The checked values are kept: Python's own numbers and strings, which a file can hold.
        checked = {
            "sizes": sizes,
            "neuron": checked_name("neuron", self.neuron, solvers.NEURONS),
            "gradient": checked_gradient(self.gradient),
            "surrogate_scale": checked_float("surrogate_scale", self.surrogate_scale, low=0, dtype=dtype),
            "detach_reset": checked_flag("detach_reset", self.detach_reset),
            "readout": checked_name("readout", self.readout, READOUTS),
            "logit_scale": checked_float("logit_scale", self.logit_scale, low=0, open_low=True, dtype=dtype),
            "threshold": checked_float("threshold", self.threshold, low=0, open_low=True, dtype=dtype),
            "hidden_decay": checked_float("hidden_decay", self.hidden_decay, low=0, high=1),
            "readout_decay": checked_float("readout_decay", self.readout_decay, low=0, high=1),
            "learn_decay": checked_flag("learn_decay", self.learn_decay),
            "hidden_gain": checked_float("hidden_gain", self.hidden_gain, low=0, dtype=dtype),
            "spike_penalty": checked_float("spike_penalty", self.spike_penalty, low=0, dtype=dtype),
            "dtype": dtype,
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers with parameters: hidden1, hidden2, ..., readout."""
        return (*(f"hidden{k}" for k in range(1, len(self.sizes) - 1)), "readout")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter, by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, n_in, n_out in zip(self.layers, self.sizes[:-1], self.sizes[1:]):
            shapes |= {f"{name}.weight": (n_in, n_out), f"{name}.bias": (n_out,), f"{name}.decay": (n_out,)}
            if not self.learn_decay:
                shapes[f"{name}.decay"] = ()
        return shapes


def _dtype_name(dtype: Any) -> Any:
    """Name of a NumPy dtype, or of the type of its scalars; anything else as it is."""
    try:
        return np.dtype(dtype).name if dtype is not None else None
    except TypeError:
        return dtype


def initial_parameters(config: NetworkConfig, seed: int) -> Parameters:
    """Weights uniform in +-1/sqrt(n_in), biases 0, decays as configured."""
    rng = np.random.default_rng(seed)
    parameters: Parameters = {}
    for name, n_in, n_out in zip(config.layers, config.sizes[:-1], config.sizes[1:]):
        limit = (config.hidden_gain if name == "hidden1" else 1.0) / math.sqrt(n_in)
        decay = config.readout_decay if name == "readout" else config.hidden_decay
        parameters[f"{name}.weight"] = rng.uniform(-limit, limit, (n_in, n_out)).astype(config.dtype)
        parameters[f"{name}.bias"] = np.zeros(n_out, dtype=config.dtype)
        shape = (n_out,) if config.learn_decay else ()
        parameters[f"{name}.decay"] = np.full(shape, decay, dtype=config.dtype)
    return parameters


def checked_parameters(config: NetworkConfig, given: Any, last: Parameters) -> Parameters:
    """The parameters `given` for a network, each its own array; those among `last` are that already."""
    dtype, shapes = np.dtype(config.dtype), config.shapes()
    checked_type("parameters", given, dict)
    if set(given) != set(shapes):
        odd = ", ".join(sorted(map(str, set(given) ^ set(shapes))))
        raise InputError(f"parameters must be {', '.join(shapes)}; missing or unknown: {odd}")
    checked: Parameters = {}
    for name, shape in shapes.items():
        is_decay = name.endswith(".decay")
        array: Any = given[name]
        if not (is_decay and isinstance(array, (int, float))):  # a Python number takes the dtype
            array = read_array(name, array)
            if (array.dtype.newbyteorder("="), array.shape) != (dtype, shape):
                raise InputError(
                    f"{name} must be {dtype} of shape {shape}, got {array.dtype} of shape {array.shape}"
                )
        # Somebody who holds an array can still lock it.
        is_mine = array is last.get(name)
        owned = not (is_mine and array.flags.c_contiguous and array.flags.writeable)
        if is_decay:
            checked[name] = checked_decay(array, dtype, shape, name=name, owned=owned)
        else:
            checked[name] = checked_parameter(name, array, dtype, shape, owned=owned)
    return checked


@dataclass(eq=False)
class OwnParameters:
    """The half of `minisnn.Network` that keeps its parameters: copied, checked, and loaded."""

    config: NetworkConfig
    parameters: Parameters = field(default_factory=dict)
    # The dictionary handed out as `parameters`, and the arrays that were in it when it was last checked.
    _owned: tuple[Parameters, Parameters] = field(default=({}, {}), init=False, repr=False)
    # The configuration that those fitted, and their shapes and dtype.
    _fits: tuple[Any, ...] = field(default=(None, {}, None), init=False, repr=False)
    _on_device: bool = field(default=False, init=False, repr=False)
    # Buffers for predictions, one for every thread that predicts at the same time.
    _spaces: list[Workspace] = field(default_factory=list, init=False, repr=False)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "config":
            checked_type("config", value, NetworkConfig)
        super().__setattr__(name, value)

    def __post_init__(self) -> None:
        if isinstance(self.parameters, dict) and not self.parameters:
            self.parameters = initial_parameters(self.config, seed=0)
        self._owned = {}, {}
        self.own_parameters()

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("config", "parameters", "_on_device")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy must not share arrays, and joblib may unpickle arrays that are mapped from a file and read-only.
        self.config, self.parameters, self._owned = state["config"], state["parameters"], ({}, {})
        self._on_device, self._spaces = state.get("_on_device", False), []
        self.own_parameters()

    def own_parameters(self) -> Parameters:
        """The parameters, checked; arrays assigned since the last use are copied first.

        Raises
        ------
        InputError
            If a parameter is missing, or is not finite numbers of its shape and dtype. Nothing is changed then.
        """
        if self._on_device:  # checked before they were moved there
            return self.parameters
        mine, last = self._owned
        # The dictionary stays the same too: an optimiser holds it.
        mine.update(checked_parameters(self.config, self.parameters, last))
        self.parameters = mine
        self._owned = mine, dict(mine)
        self._fits = self.config, self.config.shapes(), np.dtype(self.config.dtype)
        return mine

    def is_own(self) -> bool:
        """Whether these are the arrays that `own_parameters` checked for this `config`; their values may be others."""
        (mine, last), (config, shapes, dtype) = self._owned, self._fits
        return (
            self.parameters is mine
            and self.config is config
            and mine.keys() == last.keys()
            and all(
                mine[name] is a and a.shape == shapes[name] and a.dtype == dtype
                and a.flags.c_contiguous and a.flags.writeable
                for name, a in last.items()
            )
        )  # fmt: skip

    @classmethod
    def random(cls: type[Own], config: NetworkConfig, seed: int = 0) -> Own:
        """Fresh network: weights uniform in +-1/sqrt(n_in), biases 0, decays as configured."""
        checked_type("config", config, NetworkConfig)
        return cls(config, initial_parameters(config, checked_count("seed", seed)))

    @property
    def n_parameters(self) -> int:
        """Number of learned parameters."""
        return sum(math.prod(shape) for name, shape in self.config.shapes().items() if self.learns(name))

    def learns(self, name: str) -> bool:
        """Whether training changes the parameter of that name."""
        return self.config.learn_decay or not name.endswith(".decay")

    @classmethod
    def load(cls: type[Own], path: str | Path) -> Own:
        """Read a network written by `save`, or that of the chosen epoch of a run folder, every shape checked.

        Raises
        ------
        DataError
            If the file is missing, damaged, or does not hold a network, or the folder no finished epoch.
        """
        path = checked_path("path", path)
        return cls.of_run(path)[0] if path.is_dir() else cls.from_arrays(read_npz(path), path)

    @classmethod
    def of_run(cls: type[Own], path: Path) -> tuple[Own, dict[str, NDArray[Any]]]:
        """The network of the chosen epoch of a run folder, and the arrays of its checkpoint; errors as of `load`."""
        there, last, chosen = read_checkpoint(path)
        network = cls.from_arrays(there, checkpoint_file(path))
        if chosen == last:
            return network, there
        path = best_file(path, chosen)
        arrays = read_npz(path)
        best = cls.from_arrays(arrays, path)
        another = best.config != network.config or count(arrays, "epoch", path) != chosen
        if another or str(arrays.get("run")) != str(there.get("run")):
            raise DataError(f"{path} does not belong to this run: it is of another run, network or epoch")
        return best, there

    @classmethod
    def from_arrays(cls: type[Own], arrays: dict[str, NDArray[Any]], path: str | Path) -> Own:
        """Build a network from the arrays of `minisnn.Network.to_arrays`; `path` is named in errors."""
        try:
            values = json.loads(str(arrays["config"]))
            config = NetworkConfig(**{**values, "sizes": tuple(values["sizes"])})
            parameters = {
                name[11:]: array for name, array in arrays.items() if name.startswith("parameters/")
            }
            return cls(config, parameters)
        except KeyError as error:
            raise DataError(f"{path} holds no minisnn network: entry {error} is missing") from None
        except (TypeError, ValueError) as error:
            raise DataError(f"{path} holds no valid minisnn network: {one_line(error)}") from None
