"""Layers in a stack with a readout: forward, backward, prediction and training steps.

A network is its configuration and a dictionary of parameters: ``hidden1.weight``, ``hidden1.bias``,
``hidden1.decay``, ``hidden2.weight``, ..., ``readout.weight``, ``readout.bias``, ``readout.decay``. `minisnn.export`
describes the file of a network, for those who read it elsewhere.
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import solvers
from .activity import Activity, Outcome, checked_activity
from .checks import check_overflow, checked_labels, checked_parameter, checked_spikes, made_here
from .files import write_npz
from .loss import softmax_cross_entropy, softmax_cross_entropy_backward
from .model import Gradients, Trace
from .parameters import OwnParameters, Parameters
from .reading import checked_type
from .solvers.compiled.workspace import Workspace, part
from .spikes import SpikeEvents

__all__ = ["Activity", "Network", "Outcome"]


class Network(OwnParameters):
    """A stack of spiking layers with a leaky readout.

    A network owns its parameters: it copies every array it is given, so that no two networks share one. You may change
    them in place, or assign them by name; the network checks and copies assigned arrays when it is used next.

    Parameters
    ----------
    config : NetworkConfig
        Sizes and choices.
    parameters : dict of name to array, optional
        Checked against the configuration and copied; drawn with seed 0 if not given.

    Examples
    --------
    >>> import minisnn
    >>> network = Network.random(minisnn.NetworkConfig(sizes=(4, 120, 3)), seed=1)
    >>> network.parameters["hidden1.weight"].shape, network.n_parameters
    ((4, 120), 1086)
    >>> spikes = SpikeEvents.from_spike_times(np.array([[0, 3, 9, 6]]), n_steps=10)
    >>> network.forward(spikes).logits.shape, network.predict(spikes).logits.shape
    ((1, 3), (1, 3))
    """

    def on_device(self, solver: str) -> Network:
        """Copy of the network with its parameters where the solver computes; the network itself if that is the CPU.

        Parameters assigned since the last use are checked first. The results of such a copy stay on the device;
        the solver's ``to_host`` brings them back.
        """
        module = self._solver(solver)
        parameters = self.own_parameters()
        moved = module.to_device(parameters)
        if moved is parameters:
            return self
        there = copy.copy(self)
        there.parameters, there._on_device = moved, True
        return there

    def forward(
        self,
        spikes: NDArray[Any] | SpikeEvents,
        *,
        solver: str = "numpy-parallel",
        workspace: Any = None,
        checked: bool = False,
    ) -> Activity:
        """Run the network on a batch.

        Parameters
        ----------
        spikes : (B, T, n_inputs) raster or SpikeEvents
            Input spikes.
        solver : str
            One of ``minisnn.solvers.names(config.neuron)``.
        workspace : minisnn.solvers.compiled.workspace.Workspace, optional
            Buffers to reuse; results are then valid until the next call with it.
        checked : bool
            `spikes` come from `checked_input` and the parameters from `own_parameters`: read neither again.

        Returns
        -------
        activity : Activity

        Raises
        ------
        InputError
            For spikes, or parameters assigned since the last use, that do not fit.
        OverflowError
            If a potential or a logit leaves the range of the dtype.
        """
        config, module = self.config, self._solver(solver, workspace)
        signal: Any = spikes
        if not checked:
            self.own_parameters()
            signal = self.checked_input(spikes)
        run_layer = (
            module.single_spike_forward if config.neuron == "single-spike" else module.multi_spike_forward
        )
        hidden: list[Trace] = []
        for name in config.layers[:-1]:
            trace = run_layer(signal, *self._layer(name), config.threshold, workspace=part(workspace, name))
            hidden.append(trace)
            signal = module.next_input(trace)
        readout = module.readout_forward(
            signal,
            *self._layer("readout"),
            config.readout,
            config.logit_scale,
            workspace=part(workspace, "readout"),
        )
        traces = *hidden, readout
        check_overflow((trace.last_potential for trace in traces), readout.logits)
        for trace in traces:
            made_here(trace)
        return Activity(hidden, readout)

    def predict(
        self,
        spikes: NDArray[Any] | SpikeEvents,
        *,
        solver: str = "numba-parallel",
        workspace: Any = None,
        checked: bool = False,
    ) -> Outcome:
        """Logits and spike times of a batch, by the fastest way the solver has; arguments and errors of `forward`."""
        module, signal = self._solver(solver, workspace), spikes
        if not checked:
            if not (self.is_own() and module.are_sound(self._layers())):
                self.own_parameters()
            signal = self.checked_input(spikes)
        try:  # a workspace of the network's own; calls at the same time have one each
            space = self._spaces.pop() if workspace is None else workspace
        except IndexError:
            space = Workspace()
        at_once = self._at_once(signal, None, module, space)
        if workspace is None:
            self._spaces.append(space)
        if at_once is not None:
            return at_once[0]
        activity = self.forward(signal, solver=solver, workspace=workspace, checked=True)
        times = tuple(trace.spike_times for trace in activity.hidden)
        return Outcome(activity.logits, times, signal.shape[1], activity.spike_counts())

    def _at_once(
        self,
        signal: Any,
        labels: NDArray[np.int64] | None,
        module: solvers.Solver,
        workspace: Any,
    ) -> tuple[Outcome, float, list[Gradients]] | None:
        """Let the solver run the whole network at once; None if it wants that layer by layer."""
        c = self.config
        if c.neuron != "single-spike":
            return None
        choices = solvers.Choices(
            c.threshold, c.surrogate_scale, c.gradient, c.readout, c.logit_scale, c.spike_penalty
        )
        result: tuple[Outcome, float, list[Gradients]] | None = module.run_network(
            signal, labels, self._layers(), choices, workspace
        )
        return result

    def backward(
        self,
        activity: Activity,
        grad_logits: NDArray[Any],
        *,
        solver: str = "numpy-parallel",
        workspace: Any = None,
        checked: bool = False,
    ) -> Parameters:
        """Gradients of every parameter, by name, from the gradient of the loss by the logits.

        The spike penalty of the network, if it has one, is a part of that loss.

        Parameters
        ----------
        activity : Activity
            Of `forward`; the parameters must not have been changed since.
        grad_logits : (B, n_classes), dtype of the network
            Gradient of the loss by the logits.
        solver, workspace
            As for `forward`; need not be the solver that made the activity.
        checked : bool
            `activity` and `grad_logits` were made by minisnn just now: do not read them again.
        """
        if not (checked or self._on_device):
            activity = checked_activity(activity, self.config.neuron, self.config.sizes)
            shape, dtype = activity.readout.logits.shape, np.dtype(self.config.dtype)
            grad_logits = checked_parameter("grad_logits", grad_logits, dtype, shape)
        config, module = self.config, self._solver(solver, workspace)
        upstream: Gradients = module.readout_backward(
            activity.readout, grad_logits, workspace=part(workspace, "readout")
        )
        gradients = _named("readout", upstream)
        choice: str | bool  # the argument in which the two kinds of backward pass differ
        if config.neuron == "single-spike":
            run_layer, choice = module.single_spike_backward, config.gradient
        else:
            run_layer, choice = module.multi_spike_backward, config.detach_reset
        penalty = config.spike_penalty / len(activity.logits)
        for k, (name, trace) in reversed(list(enumerate(zip(config.layers[:-1], activity.hidden)))):
            upstream = replace(upstream, spike_penalty=penalty)
            upstream = run_layer(
                trace,
                upstream,
                None,
                config.surrogate_scale,
                choice,
                keep_current=k > 0,  # nobody asks for the gradient by the network's input
                workspace=part(workspace, name),
            )
            gradients |= _named(name, upstream)
        return gradients

    def loss_and_gradients(
        self,
        spikes: NDArray[Any] | SpikeEvents,
        labels: NDArray[Any],
        *,
        solver: str = "numpy-parallel",
        workspace: Any = None,
    ) -> tuple[float, Parameters, Activity]:
        """The training loss of a batch (Eq. 19), its gradients by every parameter, and the activity it came from.

        That is the mean cross-entropy, and the spike penalty if the network has one.
        """
        return self._layered_step(*self._checked_batch(spikes, labels, solver), solver, workspace)

    def _layered_step(
        self, signal: NDArray[Any] | SpikeEvents, labels: NDArray[np.int64], solver: str, workspace: Any
    ) -> tuple[float, Parameters, Activity]:
        how: dict[str, Any] = {"solver": solver, "workspace": workspace, "checked": True}
        activity = self.forward(signal, **how)
        loss, probabilities = softmax_cross_entropy(activity.logits, labels)
        grad_logits = softmax_cross_entropy_backward(probabilities, labels)
        return self._penalised(loss, activity), self.backward(activity, grad_logits, **how), activity

    def _penalised(self, loss: float, result: Activity | Outcome) -> float:
        """The training loss (Eq. 19), given the cross-entropy."""
        penalty = self.config.spike_penalty
        return loss + penalty / len(result.logits) * int(result.spike_counts().sum()) if penalty else loss

    def training_step(
        self,
        spikes: NDArray[Any] | SpikeEvents,
        labels: NDArray[Any],
        *,
        solver: str = "numba-parallel",
        workspace: Any = None,
        checked: bool = False,
    ) -> tuple[float, Parameters, Activity | Outcome]:
        """As `loss_and_gradients`, by the fastest way the solver has.

        A solver may take a whole network at once and keep no trace of it (`minisnn.solvers.compiled.step`).
        """
        signal, labels = (spikes, labels) if checked else self._checked_batch(spikes, labels, solver)
        at_once = self._at_once(signal, labels, self._solver(solver, workspace), workspace)
        if at_once is None:
            return self._layered_step(signal, labels, solver, workspace)
        outcome, loss, by_layer = at_once
        gradients: Parameters = {}
        for name, values in zip(self.config.layers, by_layer):
            gradients |= _named(name, values)
        return self._penalised(loss, outcome), gradients, outcome

    def save(self, path: str | Path, probe: NDArray[Any] | SpikeEvents | None = None) -> None:
        """Write the arrays of `to_arrays` to an ``.npz`` file (no pickle); whole or not at all."""
        write_npz(path, self.to_arrays(probe))

    def to_arrays(self, probe: NDArray[Any] | SpikeEvents | None = None) -> dict[str, NDArray[Any]]:
        """The network as arrays for a file: ``config`` (JSON text) and ``parameters/<name>``.

        With a `probe`, (B, T, n_inputs) input spikes, also ``probe/<name>``: these, and the answers to them.
        """
        text = json.dumps(asdict(self.config), sort_keys=True)
        arrays: dict[str, NDArray[Any]] = {"config": np.array(text)}
        arrays |= {f"parameters/{name}": array for name, array in self.own_parameters().items()}
        if probe is None:
            return arrays
        answers = self.forward(probe, solver="numpy-sequential").to_arrays()
        return arrays | {f"probe/{name}": array for name, array in answers.items()}

    # ---- helpers --------------------------------------------------------------------------------

    def _solver(self, name: str, workspace: Any = None) -> solvers.Solver:
        if workspace is not None:
            checked_type("workspace", workspace, Workspace)
        return solvers.get(name, self.config.neuron)

    def _layer(self, name: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        return tuple(self.parameters[f"{name}.{part}"] for part in ("weight", "bias", "decay"))  # type: ignore[return-value]

    def _layers(self) -> list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
        return [self._layer(name) for name in self.config.layers]

    def checked_input(self, spikes: Any) -> NDArray[Any] | SpikeEvents:
        """Input spikes as solvers take them: events, or a raster in the network's dtype or in bytes."""
        if self._on_device and isinstance(spikes, SpikeEvents):  # checked before they were moved there
            return spikes
        return checked_spikes(spikes, self.config.sizes[0], np.dtype(self.config.dtype))

    def _checked_batch(
        self, spikes: Any, labels: Any, solver: str
    ) -> tuple[NDArray[Any] | SpikeEvents, NDArray[np.int64]]:
        self._solver(solver)  # a name that is wrong is said before anything is read
        self.own_parameters()
        signal = self.checked_input(spikes)
        return signal, checked_labels(labels, len(signal), self.config.sizes[-1])


def _named(layer: str, gradients: Gradients) -> Parameters:
    return {f"{layer}.{part}": getattr(gradients, part) for part in ("weight", "bias", "decay")}
