"""Taking a network elsewhere: the layout of its file, the conventions, and recipes that read it.

The file
--------
`Network.save` writes an ``.npz`` file, which is a zip of arrays as ``numpy.save`` writes them; nothing is pickled.
The layers are ``hidden1``, ``hidden2``, ..., ``readout``; B samples have T steps, and a layer has N neurons.

==============================  =================  ==============================================================
``config``                      text               the fields of `minisnn.NetworkConfig` as JSON
``parameters/<layer>.weight``   (n_in, n_out)      ``torch.nn.Linear`` has the transpose
``parameters/<layer>.bias``     (n_out,)
``parameters/<layer>.decay``    (n_out,) or ()     one for every neuron if they were learned, otherwise one for all
``probe/input``                 (B, T, n_in)       spikes of a few samples: uint8 0 and 1, or counts in int32
``probe/<layer>.spike_times``   (B, N) int32       of a hidden layer: step of the first spike, T for never
``probe/<layer>.spikes``        (B, T, N) uint8    of a hidden layer of multi-spike neurons
``probe/<layer>.membrane``      (B, T, N)          potential of a hidden layer or the readout, in thresholds
``probe/logits``                (B, n_classes)
==============================  =================  ==============================================================

Parameters, potentials and logits are float32 or float64, as ``dtype`` in ``config`` says. The entries ``probe/`` are
there if ``save(path, probe=spikes)`` or ``minisnn export --probe N`` asked for them: the answers of minisnn's
definition (`minisnn.solvers.numpy_sequential`) to that input, by which another implementation checks itself.
``minisnn export`` writes the same arrays as safetensors, with ``config`` in its metadata, or as JSON: ``{"config":
{...}, "arrays": {name: nested lists}}``.

Conventions
-----------
``V[t] = decay * V[t-1] + x[t] @ weight + bias`` with ``V[-1] = 0``: no factor ``1 - decay``. A neuron spikes in the
step in which V exceeds ``threshold``; equal is not above. A single-spike neuron spikes in the first such step and
never again, and is not reset. A multi-spike neuron subtracts the threshold in the step of the spike, and its
potential is given after that. The readout has no threshold; a logit is ``logit_scale`` times the sum over time of its
potential, or the largest, as ``readout`` in ``config`` says. Sums in another order may differ in their last bits, and
a spike may then move where a potential comes within such a difference of the threshold (`minisnn.oracle` bounds it).

Recipes
-------
Each is a single-spike layer: its potential and its spikes, from the open file, the layer's name and input spikes as
floats. The readout is its potential alone.

PyTorch::

    def layer(file, name, x, threshold=1.0):
        weight, bias, decay = (torch.from_numpy(file[f"parameters/{name}.{p}"]) for p in ("weight", "bias", "decay"))
        v = torch.stack(list(accumulate((x @ weight + bias).unbind(1), lambda v, i: decay * v + i)), 1)
        return v, ((v > threshold).cumsum(1).cumsum(1) == 1).to(x.dtype)

JAX::

    def layer(file, name, x, threshold=1.0):
        weight, bias, decay = (jnp.asarray(file[f"parameters/{name}.{p}"]) for p in ("weight", "bias", "decay"))
        v = jnp.stack(list(accumulate(jnp.moveaxis(x @ weight + bias, 1, 0), lambda v, i: decay * v + i)), 1)
        return v, ((v > threshold).cumsum(1).cumsum(1) == 1).astype(x.dtype)

Both need ``from itertools import accumulate``, and ``file = numpy.load(path)``.

NIR
---
NIR, the neuromorphic intermediate representation, is not offered, because it cannot hold these networks: its neurons
may fire again and are set to a value when they do. It has no neuron that fires once and is never reset, and no reset
that subtracts the threshold.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import import_extra
from .files import write_atomically, write_text
from .network import Network
from .reading import checked_name, checked_type

__all__ = ["FORMATS", "export"]

FORMATS = ("npz", "safetensors", "json")


def export(network: Network, path: str | Path, to: str = "npz", probe: Any = None) -> None:
    """Write a network for another program, whole or not at all; this module has the layout.

    Parameters
    ----------
    network : Network
        Left unchanged.
    path : path
        The file.
    to : {"npz", "safetensors", "json"}
        Its format; safetensors needs the package of that name (extra ``export``).
    probe : (B, T, n_inputs) raster or SpikeEvents, optional
        Input spikes, which are written with the network's answers to them.
    """
    checked_type("network", network, Network)
    to = checked_name("format", to, FORMATS)
    save = import_extra("safetensors.numpy", "safetensors", "export").save if to == "safetensors" else None
    if to == "npz":
        network.save(path, probe)
        return
    arrays = network.to_arrays(probe)
    config = str(arrays.pop("config"))
    if save is not None:
        content: bytes = save(arrays, metadata={"config": config})
        write_atomically(path, lambda file: file.write(content))
    else:
        lists = {name: array.tolist() for name, array in arrays.items()}
        write_text(path, json.dumps({"config": json.loads(config), "arrays": lists}) + "\n")
