"""A layer, a few samples: all loops over blocks and samples stand here.

`step` calls these for one group of samples after the other, layer by layer; the shares below do the same for one layer
and a whole batch. The first index of every array is the sample, that of arrays in blocks the next: potentials are
(G, K, T, LANES). A block of the weights serves all samples of a group while it is in cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .events import add_sample_gradient, group_by_input, of_samples, weight_blocks
from .jit import inlined, kernel
from .lanes import LANES, columns, copy_in, copy_out, n_blocks
from .passes import BIAS, DECAY, STATE, backward_pass, forward_pass, readout_backward_pass, readout_pass
from .products import summed_like
from .records import Events, Floats, Gradient, Ints32, Layer, Rule, Scratch, Span, Upstream
from .upstream import (
    BY_BLAS,
    PROJECTED,
    RECURSION,
    begin_group,
    membrane_rows,
    projection_rows,
    recursion_rows,
    upstream_of,
)
from .workspace import Workspace, buffer


def parameters_of(
    weight: Floats, bias: Floats, decay: Floats, workspace: Workspace | None = None, name: str = "weight"
) -> Layer:
    """Parameters of a layer as kernels take them, the weights in the buffer of that name."""
    constants = np.zeros((2, n_blocks(len(bias)) * LANES), bias.dtype)
    constants[BIAS, : len(bias)], constants[DECAY, : len(bias)] = bias, decay
    return Layer(weight_blocks(weight, workspace, name), constants)


def partial_gradients(n_shares: int, weight: Floats, workspace: Workspace | None, name: str) -> Gradient:
    """Room for the gradients of a layer, a sum of its own for every share: (S, ...)."""
    n_in, n_out = weight.shape
    shape = (n_shares, n_blocks(n_out), n_in, LANES)
    sums = np.zeros((n_shares, 2, n_blocks(n_out) * LANES), weight.dtype)
    return Gradient(buffer(workspace, name, shape, weight.dtype), sums)


@inlined
def of_share(partial: Gradient, share: int) -> Gradient:
    """The gradients of one share."""
    return Gradient(partial.weight[share], partial.sums[share])


def sums_of_shares(partial: Gradient, decay: Floats, n_out: int) -> tuple[Floats, Floats]:
    """Gradients by bias and decay, from all shares."""
    return partial.sums[:, BIAS, :n_out].sum(axis=0), summed_like(decay, partial.sums[:, DECAY, :n_out])


@kernel
def forward_layer(potential: Floats, times: Ints32, events: Events, layer: Layer, theta: Any) -> None:
    """`forward_pass` for a few samples; `times` is (G, K * LANES)."""
    span = Span(0, potential.shape[2], np.empty((STATE, LANES), potential.dtype))
    for k in range(len(layer.weight)):
        for b in range(len(potential)):
            forward_pass(potential[b, k], times, b, span, events, layer, k, theta)


@kernel
def backward_layer(
    potential: Floats,
    times: Ints32,
    events: Events,
    layer: Layer,
    rule: Rule,
    upstream: Upstream,
    gradient: Gradient,
    current: Floats,
    scratch: Scratch,
    is_first: bool,
) -> None:
    """`backward_pass` and Eq. 10 for a few samples; gI is kept if `current` (G, T, N) has samples.

    The gradient by the weight begins at zero for the first samples of a share (`is_first`).
    """
    n_steps, n_in = potential.shape[2], gradient.weight.shape[1]
    span = Span(0, n_steps, np.empty((STATE, LANES), potential.dtype))
    for b in range(len(potential)):
        group_by_input(events, b, n_steps, scratch, n_in)
    begin_group(upstream)
    source, weight, rows = upstream.onward.source, upstream.onward.weight, scratch.rows
    grad = upstream.projected if source == BY_BLAS else upstream.grad
    for k in range(len(gradient.weight)):
        if is_first:  # here, while it is in cache
            gradient.weight[k] = 0
        for b in range(len(potential)):
            if source == PROJECTED:
                projection_rows(rows, grad[b], columns(weight, k))
            elif source == RECURSION:
                recursion_rows(rows, upstream, b, k, span)
            else:
                copy_in(rows, grad[b], k)
            on_membrane = membrane_rows(scratch.on_membrane, upstream.grad_membrane, b, k)
            backward_pass(rows, on_membrane, potential[b, k], times, b, span, layer, k, rule, gradient)
            add_sample_gradient(gradient.weight[k], scratch, events, b)
            if len(current) > 0:
                copy_out(current[b], rows, k)


@kernel
def forward_readout(
    membrane: Floats, value: Floats, peak_times: Ints32, events: Events, layer: Layer, use_max: bool
) -> None:
    """`readout_pass` for a few samples; `value` and `peak_times` are (G, K * LANES)."""
    for k in range(len(layer.weight)):
        for b in range(len(membrane)):
            readout_pass(membrane[b, k], value, peak_times, b, use_max, events, layer, k)


@kernel
def backward_readout(
    membrane: Floats,
    grad_value: Floats,
    peak_times: Ints32,
    events: Events,
    layer: Layer,
    gradient: Gradient,
    current: Floats,
    scratch: Scratch,
    use_max: bool,
    is_first: bool,
) -> None:
    """`readout_backward_pass` and Eq. 10 for a few samples, as `backward_layer`; without events BLAS does Eq. 10."""
    n_steps, by_events = membrane.shape[2], len(events.indptr) > 0
    if by_events:
        for b in range(len(membrane)):
            group_by_input(events, b, n_steps, scratch, gradient.weight.shape[1])
    for k in range(len(gradient.weight)):
        if is_first:
            gradient.weight[k] = 0
        for b in range(len(membrane)):
            readout_backward_pass(
                scratch.rows, grad_value, peak_times, b, use_max, membrane[b, k], layer, k, gradient
            )
            if by_events:
                add_sample_gradient(gradient.weight[k], scratch, events, b)
            if len(current) > 0:
                copy_out(current[b], scratch.rows, k)


@kernel
def forward_share(
    potential: Floats,
    times: Ints32,
    events: Events,
    layer: Layer,
    theta: Any,
    group: int,
    first: int,
    last: int,
) -> None:
    """`forward_layer` for samples `first` to `last` of a batch."""
    for start in range(first, last, group):
        stop = min(start + group, last)
        mine = of_samples(events, start, stop, potential.shape[2])
        forward_layer(potential[start:stop], times[start:stop], mine, layer, theta)


@kernel
def backward_share(
    potential: Floats,
    times: Ints32,
    events: Events,
    layer: Layer,
    rule: Rule,
    upstream: Upstream,
    gradient: Gradient,
    current: Floats,
    scratch: Scratch,
    share: int,
    first: int,
    last: int,
) -> None:
    """`backward_layer` for samples `first` to `last`, a share of a batch."""
    group, mine = len(scratch.ends), of_share(gradient, share)
    for start in range(first, last, group):
        stop = min(start + group, last)
        backward_layer(
            potential[start:stop], times[start:stop], of_samples(events, start, stop, potential.shape[2]), layer,
            rule, upstream_of(upstream, start, stop), mine, current[start:stop], scratch, start == first,
        )  # fmt: skip


@kernel
def backward_readout_share(
    membrane: Floats,
    grad_value: Floats,
    peak_times: Ints32,
    events: Events,
    layer: Layer,
    gradient: Gradient,
    current: Floats,
    scratch: Scratch,
    use_max: bool,
    share: int,
    first: int,
    last: int,
) -> None:
    """`backward_readout` for samples `first` to `last`, a share of a batch."""
    group, mine = len(scratch.ends), of_share(gradient, share)
    for start in range(first, last, group):
        stop = min(start + group, last)
        backward_readout(
            membrane[start:stop], grad_value[start:stop], peak_times[start:stop],
            of_samples(events, start, stop, membrane.shape[2]), layer, mine, current[start:stop], scratch,
            use_max, start == first,
        )  # fmt: skip
