"""A layer, some samples: all loops over blocks and samples stand here.

`numba_parallel` calls these for a share of a batch, `step` for one group of samples after the other, layer by layer.
The first index of every array is the sample, that of arrays in blocks the next: potentials are (B, K, T, LANES). A
block of the weights serves all samples of a group while it is in cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .events import add_sample_gradient, group_by_input, of_samples, weight_blocks
from .jit import kernel
from .lanes import LANES, columns, copy_in, copy_out, full, load, n_blocks, padded, store
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

Parameters = tuple[Floats, Floats, Floats]  # weight (n_in, n_out), bias (n_out,), decay scalar or (n_out,)


def parameters_of(
    weight: Floats, bias: Floats, decay: Floats, workspace: Workspace | None = None, name: str = "weight"
) -> Layer:
    """Parameters of a layer as kernels take them, the weights in the buffer of that name."""
    return Layer(weight_blocks(weight, workspace, name), constants_of(bias, decay))


def constants_of(bias: Floats, decay: Floats) -> Floats:
    """Bias and decay as kernels take them, (2, K * LANES)."""
    constants = np.zeros((2, n_blocks(len(bias)) * LANES), bias.dtype)
    constants[BIAS, : len(bias)], constants[DECAY, : len(bias)] = bias, decay
    return constants


def unpacked(weight: Floats, bias: Floats, decay: Floats) -> Layer:
    """Parameters of a layer whose weights stay where they are, (1, n_in, N), if they fill a block."""
    wide = weight if len(bias) >= LANES else padded(weight)
    return Layer(wide[np.newaxis], constants_of(bias, decay))


@kernel
def _is_sound(weight: Floats, bias: Floats, decay: Floats) -> bool:
    """Whether all weights, (n_in * N,), and biases (N,) are finite and all decays lie in [0, 1]."""
    whole, nothing = len(weight) // LANES, weight.dtype.type(0)
    total = np.zeros((1, LANES), weight.dtype)  # 0, or NaN: what 0 times a number that is not finite is
    sums, rows = full(nothing), weight[: whole * LANES].reshape(whole, LANES)
    for r in range(whole):
        sums = sums + load(rows, r) * nothing
    store(total, 0, sums)
    for j in range(whole * LANES, len(weight)):
        total[0, 0] += weight[j] * nothing
    for j in range(len(bias)):
        total[0, 0] += bias[j] * nothing
    for j in range(len(decay)):
        if not (0 <= decay[j] <= 1):
            return False
    return not np.isnan(total.sum())


def are_sound(layers: Sequence[Parameters]) -> bool:
    """Whether a network would admit these numbers: `Network.own_parameters`, in one quick look at all of them."""
    return all(_is_sound(weight.reshape(-1), bias, decay.reshape(-1)) for weight, bias, decay in layers)


def partial_gradients(n_shares: int, weight: Floats, workspace: Workspace | None, name: str) -> Gradient:
    """Room for the gradients of a layer, a sum of its own for every share: (S, ...)."""
    n_in, n_out = weight.shape
    shape = (n_shares, n_blocks(n_out), n_in, LANES)
    sums = np.zeros((n_shares, 2, n_blocks(n_out) * LANES), weight.dtype)
    return Gradient(buffer(workspace, name, shape, weight.dtype), sums)


def of_share(partial: Gradient, share: int) -> Gradient:
    """The gradients of one share."""
    return Gradient(partial.weight[share], partial.sums[share])


def sums_of_shares(partial: Gradient, decay: Floats, n_out: int) -> tuple[Floats, Floats]:
    """Gradients by bias and decay, from all shares."""
    return partial.sums[:, BIAS, :n_out].sum(axis=0), summed_like(decay, partial.sums[:, DECAY, :n_out])


@kernel
def forward_layer(
    potential: Floats,
    times: Ints32,
    events: Events,
    layer: Layer,
    theta: Any,
    group: int,
    first: int,
    last: int,
) -> None:
    """`forward_pass` for samples `first` to `last`; `times` is (B, K * LANES)."""
    span = Span(0, potential.shape[2], np.empty((STATE, LANES), potential.dtype))
    for start in range(first, last, group):
        for k in range(len(layer.weight)):
            for b in range(start, min(start + group, last)):
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
    first: int,
    last: int,
) -> None:
    """`backward_pass` and Eq. 10 for samples `first` to `last`; gI is kept if `current` (B, T, N) has samples.

    The gradient by the weight begins at zero if these are the first samples of their share (`is_first`).
    """
    n_steps, n_in, group = potential.shape[2], gradient.weight.shape[1], len(scratch.ends)
    span = Span(0, n_steps, np.empty((STATE, LANES), potential.dtype))
    source, weight, rows = upstream.onward.source, upstream.onward.weight, scratch.rows
    for start in range(first, last, group):
        n = min(group, last - start)
        mine, arriving = (
            of_samples(events, start, start + n, n_steps),
            upstream_of(upstream, start, start + n),
        )
        for b in range(n):
            group_by_input(mine, b, n_steps, scratch, n_in)
        begin_group(arriving)
        grad = arriving.projected if source == BY_BLAS else arriving.grad
        for k in range(len(gradient.weight)):
            if is_first and start == first:  # here, while it is in cache
                gradient.weight[k] = 0
            for b in range(n):
                if source == PROJECTED:
                    projection_rows(rows, grad[b], columns(weight, k))
                elif source == RECURSION:
                    recursion_rows(rows, arriving, b, k, span)
                else:
                    copy_in(rows, grad[b], k)
                on_membrane = membrane_rows(scratch.on_membrane, arriving.grad_membrane, b, k)
                backward_pass(
                    rows,
                    on_membrane,
                    potential[start + b, k],
                    times,
                    start + b,
                    span,
                    layer,
                    k,
                    rule,
                    gradient,
                )
                add_sample_gradient(gradient.weight[k], scratch, mine, b)
                if len(current) > 0:
                    copy_out(current[start + b], rows, k)


@kernel
def forward_readout(
    membrane: Floats, value: Floats, peak_times: Ints32, events: Events, layer: Layer, use_max: bool
) -> None:
    """`readout_pass` for some samples; `value` and `peak_times` are (B, K * LANES)."""
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
    first: int,
    last: int,
) -> None:
    """`readout_backward_pass` and Eq. 10, as `backward_layer`; without events BLAS does Eq. 10."""
    n_steps, n_in, group = membrane.shape[2], gradient.weight.shape[1], len(scratch.ends)
    by_events = len(events.indptr) > 0
    for start in range(first, last, group):
        n = min(group, last - start)
        mine = of_samples(events, start, start + n, n_steps)
        if by_events:
            for b in range(n):
                group_by_input(mine, b, n_steps, scratch, n_in)
        for k in range(len(gradient.weight)):
            if is_first and start == first:
                gradient.weight[k] = 0
            for b in range(n):
                readout_backward_pass(
                    scratch.rows, grad_value, peak_times, start + b, use_max, membrane[start + b, k], layer, k, gradient
                )  # fmt: skip
                if by_events:
                    add_sample_gradient(gradient.weight[k], scratch, mine, b)
                if len(current) > 0:
                    copy_out(current[start + b], scratch.rows, k)
