"""How far a correct implementation may be from the exact result: the rounding bounds, derived.

Every verdict of the oracle rests on this file; nothing is compared with a guessed tolerance. Notation
and rules are those of Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002:

- standard model (section 2.2): ``fl(a op b) = (a op b)(1 + d)``, ``|d| <= u``, u half the distance from 1 to the next
  float; a fused multiply-add rounds once where the model rounds twice, so every bound covers it. Where a
  result underflows (flushed to zero or not) it is off by at most eta, the smallest normal number; so is an argument
  below eta, which may count as zero.
- Lemma 3.1: ``prod (1 + d_i)^(+-1) = 1 + theta_m`` with ``|theta_m| <= gamma_m = m u / (1 - m u)``, m factors. Beyond
  ``m u = 1/2`` gamma stands for ``(1 + u)^m - 1``, which holds for products of any length.
- section 4.2: in a sum of n terms, *in any order*, each term meets at most n - 1 additions.

**Potential.** Eq. 2 unrolled is ``V[t] = sum_k beta^(t-k) (sum_i x[k,i] W[i] + b)``. A term meets: the
additions of whatever order the implementation chose, at most one for every nonzero term and one more per step
where partial sums of steps are added (adding an exact zero is exact); and at most t + 1 multiplications, ``t-k``
factors beta, one by one, by squaring or ready-made, and one by x. So the computed potential is the sum of the same
terms, each times ``1 + theta_m`` with ``m = nonzero terms + 2 (t + 1)``, and ::

    |V_computed - V| <= E[t] = gamma_m A[t] + m eta (1 + M),     A[t] = sum of the absolute values of all terms,

M the largest absolute current so far: a ready-made power that underflows is off by eta, and its product by eta M.

In the conventional layer, *given its spikes*, ``U`` is linear too: every reset is one more term,
``-theta beta^(t-k)``.

**Spikes.** A step certainly crosses if ``V - E > theta``; possibly if ``V + E > theta``. A spike at tau is right
if tau possibly crosses and no earlier step certainly does; silence is right if no step certainly crosses.

**Gradients**, componentwise, each line adding its own roundings to what it inherits (a, e: absolute sum, error)::

    gz   exact (a product with 0 or 1)
    gS~  a = P^T |gz|,            e = gamma_(2(T-k)+2) a
    h'   e = min(2 s E' / (1 + s max(|d| - E', 0))^3, 1) + 10 u h'max,  d = V - theta,  E' = E + u (|d| + E) + eta
    gU   e = |gS~| e_h + e_S~ (h' + e_h) + 2 u (product)
    gI   a = A^T (|gU| + e_U),    e = A^T e_U + gamma_(3(T-t)) a
    gW   e = |x|^T e_I + gamma_(BT+2) |x|^T a_I;   gb the same with 1 for x;   gx with |W|^T and gamma_(N+1)
    gbeta  e = sum (e_I A + a_I E + e_I E) + gamma_(BT+T+4) sum a_I (A + E)

and every line eta for each of its operations, times the factors that follow.

The line of h': ``|h''| = 2 s / (1 + s|d|)^3`` falls with |d|, so its value at the nearest possible |d| bounds the
change, which is never above 1; evaluating ``1 / (1 + s|d|)^2`` rounds at most ten times (a quotient rule that
subtracts two nearly equal terms is not as accurate, and not covered). The counts hold for other orders too, as long
as the same terms are summed: an eligibility trace forward in time, a product with the triangular matrix, autograd
through the convolution. The conventional layer's recursion is ``gU[t] = c[t] beta gU[t+1] + gS[t] h'[t]``,
``c = 1 - theta h'``, and its bound the same recursion with ``|c|``; the error of c is
``theta e_h + 4 u (1 + theta h')``.

**A whole step.** The readout is a layer that neither sums up crossings nor resets, with h' = 1 (s = 0). A layer gets
its gS from gx of the layer above, with that one's error e: gS~ grows to ``a = P^T (|gS| + e)`` and its error by
``P^T e``; in the conventional layer's recursion gS grows to ``|gS| + e``, and its error by ``e h'``. A logit is as
far off as the potential at its maximum; a sum over time adds T roundings, the scale one more. The softmax is that of
the logits that came, which are judged before it, or of others within e of the reference's (two of them 2 e further
apart): a difference d of two is off by ``u |d|``, an exponential or a logarithm by 8 u (4 units in the last place), the
sum over n classes by ``gamma_n``. A spike penalty lambda / B, two roundings, is one more term of gx, and for every
spike one of the loss.

**FFT.** A convolution by FFT is accurate in norm, not term by term. Theorem 24.2: a transform of length n has
relative error ``f = log2(n) g / (1 - log2(n) g)`` in the 2-norm, ``g = mu + gamma_4 (sqrt(2) + mu)``, mu the
error of the twiddle factors (2u allowed here), so g <= 9 u. Two transforms, a pointwise product and one transform
back give, for kernel a and signal s, ``|error| <= f (2 |a|_2 |s|_1 + |a|_1 |s|_2) + 4 u |a|_2 |s|_1`` for every step
(with ``|F s|_max <= |s|_1``). ``kind="fft"`` adds that, n = 4T, wherever time enters.

**Reference.** A port is compared with `minisnn.oracle.reference` in float64, itself an implementation that keeps the
bound of float64. Every bound grows at least in proportion to the unit u, so the reference adds at most the share
``2^-53 / u``: nothing to speak of in float32, and in float64 every bound is doubled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import unknown_name
from .cases import Case
from .reference import Backward, Forward, leaky_sum

Floats = NDArray[np.float64]
KINDS = ("standard", "fft")
# The bounds are computed in float64 themselves: rounded up by far more than that loses.
_UPWARD = 1.0 + 2.0**-30


def gamma(count: Any, dtype: DTypeLike) -> Floats:
    """``gamma_m = m u / (1 - m u)`` for that many roundings in `dtype`; ``(1 + u)^m - 1`` beyond ``m u = 1/2``.

    Examples
    --------
    >>> float(gamma(1, np.float64)) == 2.0**-53 / (1 - 2.0**-53)
    True
    """
    product = np.asarray(count, dtype=np.float64) * _unit(dtype)
    return np.where(product < 0.5, product / np.maximum(1 - product, 0.5), np.expm1(product))


def _eta(dtype: DTypeLike) -> float:
    return float(np.finfo(np.dtype(dtype)).tiny)


def _unit(dtype: DTypeLike) -> float:
    return float(np.finfo(np.dtype(dtype)).eps) / 2


def _with_reference(bound: Floats, dtype: DTypeLike) -> Floats:
    """`bound`, and what the reference may be off."""
    return bound * _UPWARD * (1 + 2.0**-53 / _unit(dtype))


def _magnitudes(*arrays: Any) -> list[Floats]:
    return [np.abs(np.asarray(array, np.float64)) for array in arrays]


def _absolute_current(case: Case) -> tuple[Floats, Floats]:
    """(B, T, N): sum of the absolute values of the terms of Eq. 1, and how many are not zero."""
    x, w, b = _magnitudes(case.spikes, case.weight, case.bias)
    # A count c is c additions of the weight, or one product: at most c roundings either way.
    return x @ w + b, np.ceil(x) @ (w != 0).astype(np.float64) + (b != 0)


def _run_back(values: Floats, decay: Any) -> Floats:
    return leaky_sum(values[:, ::-1], decay[:, ::-1] if np.ndim(decay) == 3 else decay)[:, ::-1]


def _fft_error(kernel: Floats, signal: Floats, dtype: DTypeLike) -> Floats:
    """(B, 1, N): error of a convolution by FFT of `kernel` (T, N) with `signal` (B, T, N), see the module's text."""
    n_steps = kernel.shape[0]
    share = gamma(9 * np.ceil(np.log2(4 * max(n_steps, 2))), dtype)
    kernel_1, kernel_2 = kernel.sum(axis=0), np.sqrt((kernel**2).sum(axis=0))
    signal_1, signal_2 = signal.sum(axis=1, keepdims=True), np.sqrt((signal**2).sum(axis=1, keepdims=True))
    error: Floats = share * (2 * kernel_2 * signal_1 + kernel_1 * signal_2)
    error += 4 * _unit(dtype) * kernel_2 * signal_1
    error += 4 * n_steps * _eta(dtype) * (1 + kernel_1) * (1 + signal_1)
    return error


def _powers(decay: Any, n_steps: int) -> Floats:
    """(T, N) powers of the decay."""
    return np.asarray(np.asarray(decay, np.float64) ** np.arange(n_steps)[:, None])


def absolute_potential(
    case: Case, fired: NDArray[np.bool_] | None = None, *, input_scaled: bool = False
) -> tuple[Floats, Floats]:
    """A[t], the potential made of the absolute values of all terms, and m, the count of roundings: (B, T, N) each."""
    magnitude, terms = _absolute_current(case)
    if input_scaled:
        magnitude = magnitude * (1 - np.asarray(case.decay, np.float64))
    if fired is not None:  # the resets of earlier steps are terms of this one
        earlier = np.zeros_like(magnitude)
        earlier[:, 1:] = fired[:, :-1]
        magnitude = magnitude + np.asarray(case.decay, np.float64) * abs(case.threshold) * earlier
        terms = terms + earlier
    count = np.cumsum(terms, axis=1) + 2 * np.arange(1, case.shape[1] + 1)[:, None]
    # V + (1 - beta)(I - V) rounds twice where beta V + (1 - beta) I rounds once.
    return leaky_sum(magnitude, case.decay) * _UPWARD, 2 * count + 2 if input_scaled else count


def potential_bound(
    case: Case, fired: NDArray[np.bool_] | None = None, *, kind: str = "standard", input_scaled: bool = False
) -> Floats:
    """E[t] of the module's text: how far a computed potential may be from that of the reference, (B, T, N).

    `fired` (B, T, N) are the spikes of a conventional layer, each of which takes the threshold off; `kind` is one of
    `KINDS`; `input_scaled` is the convention ``I[t] = (1 - beta) (x[t] @ W + b)``. Zero is never returned here, see
    `minisnn.oracle.exact`.

    Examples
    --------
    >>> case = Case("one", "single-spike", np.ones((1, 1, 1)), np.array([[0.75]]), np.zeros(1), np.array([0.5]))
    >>> bool(potential_bound(case)[0, 0, 0] < 2 * 3.1 * 0.75 * 2.0**-53)  # m = 1 + 2, and the reference
    True
    """
    return _with_reference(_potential_error(case, fired, kind, input_scaled), case.dtype)


def _potential_error(case: Case, fired: NDArray[np.bool_] | None, kind: str, input_scaled: bool) -> Floats:
    """`potential_bound` without the error of the reference."""
    absolute, count = absolute_potential(case, fired, input_scaled=input_scaled)
    signal, _ = _absolute_current(case)
    reset = 0.0 if fired is None else abs(case.threshold)
    largest = 1 + reset + np.maximum.accumulate(signal, axis=1)
    bound: Floats = gamma(count, case.dtype) * absolute + count * _eta(case.dtype) * largest
    if kind not in KINDS:
        raise unknown_name("bound", kind, KINDS)
    if kind == "fft":
        signal = signal if fired is None else signal + reset * fired
        bound = bound + _fft_error(_powers(case.decay, case.shape[1]), signal, case.dtype)
    return bound * _UPWARD


# ---- gradients ------------------------------------------------------------------------------------


def gradient_bounds(
    backward: Backward,
    forward: Forward,
    case: Case,
    *,
    kind: str = "standard",
    input_scaled: bool = False,
    incoming: Any = 0.0,
    from_membrane: bool = False,
) -> dict[str, Floats]:
    """How far computed gradients may be from those of the reference, component by component, by name.

    Valid if the implementation's spikes are those of the reference: draw cases in which none is undecided, or give the
    reference the spikes that came. `incoming` (B, T, N) is how far the implementation's `grad_spikes` may be off. With
    `from_membrane` gbeta is known to be summed from V itself, not from V's terms as by autograd: |V| in place of A.
    """
    x, w, beta = _magnitudes(case.spikes, case.weight, case.decay)
    (batch, n_steps, n_out), dtype = case.shape, case.dtype
    unit, eta, cells = _unit(dtype), _eta(dtype), batch * n_steps
    resets = forward.fired if case.neuron == "multi-spike" else None
    absolute, _ = absolute_potential(case, resets, input_scaled=input_scaled)
    bound = _potential_error(case, resets, kind, input_scaled)
    error_h = _surrogate_error(backward, bound, case)
    error_s: Floats = np.broadcast_to(np.asarray(incoming, np.float64), case.shape)
    earlier, earlier_error = np.zeros_like(absolute), np.zeros_like(bound)
    earlier_error[:, 1:] = bound[:, :-1]
    if resets is None:
        if case.neuron == "single-spike":
            error_s = _double_sum_error(forward, case, error_s, kind)
        size_u, absolute_i, error_i = _current_error(backward, case, error_s, error_h)
    else:
        size_u, absolute_i, error_i = _current_error_of_resets(backward, case, error_s, error_h)
        absolute = absolute + abs(case.threshold) * resets  # the membrane after the reset has one more term
        earlier_error[:, 1:] += 2 * unit * absolute[:, :-1]
    if kind == "fft":
        error_i = error_i + _fft_error(_powers(beta, n_steps), size_u, dtype)
    error_i = error_i + 3 * _steps_left(case) * eta * (1 + size_u.max(axis=1, keepdims=True))
    absolute_i = absolute_i + error_i
    earlier[:, 1:] = (np.abs(forward.membrane) if from_membrane else absolute)[:, :-1]
    of_decay = error_i * earlier + absolute_i * earlier_error
    of_decay = of_decay + gamma(cells + n_steps + 4, dtype) * absolute_i * (earlier + earlier_error)
    by_decay = of_decay.sum(axis=(0, 1))
    if input_scaled:
        relative = gamma(cells + n_out + n_steps + 4 + x.shape[2], dtype)
        current, _ = _absolute_current(case)
        by_decay = by_decay + ((error_i + relative * absolute_i) * current).sum(axis=(0, 1))
        error_i = (error_i + 4 * unit * absolute_i) * (1 - beta)
        absolute_i = absolute_i * (1 - beta) * (1 + 4 * unit)
    of_spikes = error_i @ w.T + gamma(n_out + 1, dtype) * (absolute_i @ w.T)
    of_sums = error_i + gamma(cells + 2, dtype) * absolute_i  # over samples and steps
    bounds = {
        "spikes": of_spikes + eta * absolute_i.sum(axis=2, keepdims=True),
        "weight": x.reshape(cells, -1).T @ of_sums.reshape(cells, -1),
        "bias": of_sums.sum(axis=(0, 1)),
        "decay": by_decay,
    }
    upward = 1 + 2.0**-20
    smallest = 2 * (cells + n_out) * eta
    return {name: _with_reference((value + smallest) * upward, dtype) for name, value in bounds.items()}


def _steps_left(case: Case) -> NDArray[np.int64]:
    """(1, T, 1): T - t."""
    return np.arange(case.shape[1], 0, -1)[None, :, None]


def _double_sum_error(forward: Forward, case: Case, error_s: Floats, kind: str) -> Floats:
    """The error of gS~ (Eq. 7), given that of gS."""
    (_, n_steps, n_out), left = case.shape, _steps_left(case)
    gate = np.cumsum(forward.fired, axis=1) == 0 if case.gradient == "gated" else 1.0
    grad_z = _grad_size(case, error_s) * gate
    error = _run_back(_run_back(error_s * gate, 1.0), 1.0)
    error = error + gamma(2 * left + 2, case.dtype) * _run_back(_run_back(grad_z, 1.0), 1.0)
    error = error + left * (left + 1) * _eta(case.dtype)
    if kind == "fft":
        ramp = np.broadcast_to(np.arange(1.0, n_steps + 1)[:, None], (n_steps, n_out))
        error = error + _fft_error(ramp, grad_z, case.dtype)
    return error


def _grad_size(case: Case, error_s: Floats) -> Floats:
    """The largest absolute value of gS, given its error."""
    return np.abs(np.asarray(case.grad_spikes, np.float64)) + error_s


def _current_error(
    backward: Backward, case: Case, error_s: Floats, error_h: Floats
) -> tuple[Floats, Floats, Floats]:
    """Of gU its size; of gI the sum of absolute values, and the error that sums make of those of gS~ and h'."""
    surrogate, (decay,) = backward.surrogate, _magnitudes(case.decay)
    size_s = np.abs(backward.grad_crossings)
    error_u = size_s * error_h + error_s * (surrogate + error_h)
    error_u = error_u + 2 * _unit(case.dtype) * (size_s + error_s) * (surrogate + error_h)
    error_u = error_u + 4 * _eta(case.dtype)
    size_u = size_s * surrogate + error_u
    absolute = _run_back(size_u, decay)
    return size_u, absolute, _run_back(error_u, decay) + gamma(3 * _steps_left(case), case.dtype) * absolute


def _current_error_of_resets(
    backward: Backward, case: Case, error_s: Floats, error_h: Floats
) -> tuple[Floats, Floats, Floats]:
    """The same in the conventional layer, whose recursion has the factor ``c[t] beta``, given the error of gS."""
    surrogate, (decay,), unit = backward.surrogate, _magnitudes(case.decay), _unit(case.dtype)
    through = 0.0 if case.gradient == "detached-reset" else abs(case.threshold)
    grad_s = _grad_size(case, error_s)
    size_u = grad_s * surrogate
    factor = np.abs(1 - np.sign(case.threshold) * through * surrogate)
    error_c = through * error_h + 4 * unit * (1 + abs(case.threshold) * surrogate)
    absolute = _run_back(size_u, decay * factor)
    later = np.zeros_like(absolute)
    later[:, :-1] = absolute[:, 1:]
    error_u = grad_s * (error_h + 4 * unit * (surrogate + error_h)) + error_s * surrogate
    error_u = error_u + decay * error_c * later + 4 * _eta(case.dtype) * (1 + abs(case.threshold))
    error = _run_back(error_u, decay * (factor + error_c))
    absolute = absolute + error
    return size_u, absolute, error + gamma(3 * _steps_left(case), case.dtype) * absolute


def _surrogate_error(backward: Backward, bound: Floats, case: Case) -> Floats:
    """How far a computed h' may be from that of the reference, given the bound on the potential."""
    distance, scale = np.abs(backward.distance), case.surrogate_scale
    unit, eta = _unit(case.dtype), _eta(case.dtype)
    error = bound + unit * (distance + bound) + eta
    root = 1 / (1 + scale * np.maximum(distance - error, 0.0))  # at the nearest distance
    return np.asarray(np.minimum(2 * scale * error * root**3, 1.0) + 10 * unit * root**2 + 4 * eta)


# ---- logits and loss ------------------------------------------------------------------------------


def logit_bound(potential: Floats, bound: Floats, readout: str, scale: float, dtype: DTypeLike) -> Floats:
    """(B, n_classes): how far logits may be off, given the readout's potential and its bound (B, T, n_classes)."""
    over_time = np.max if readout == "max" else np.sum
    error, absolute = over_time(bound, axis=1), over_time(np.abs(potential), axis=1)
    rounded = gamma(potential.shape[1] + 2, dtype) * (absolute + error)
    return np.asarray(scale * (error + rounded) + _eta(dtype))


def cross_entropy_bounds(
    logits: Floats, loss: Floats, probabilities: Floats, gradient: Floats, dtype: DTypeLike, error: Floats
) -> tuple[Floats, Floats]:
    """How far the mean loss may be off, and B times its gradient by the logits, given the `error` of the logits.

    `loss` (B,), `probabilities` and `gradient` (B, n_classes), by sample, are those of the reference.
    """
    farthest, unit, off = np.ptp(logits, axis=1), _unit(dtype), 2 * error.max(axis=-1) * (logits.shape[1] > 1)
    # The logarithm of a probability may be off by that.
    share = unit * (2 * farthest + logits.shape[1] + 24) + off
    of_loss = share + gamma(len(loss) + 16, dtype) * (np.abs(loss) + farthest + np.log(logits.shape[1]))
    of_share = np.where(share[:, None] < 1, np.expm1(np.minimum(share, 1))[:, None] * probabilities, 1)
    of_gradient = of_share + 3 * unit * np.abs(gradient) + 2 * _eta(dtype)
    return _with_reference(of_loss.mean(), dtype), _with_reference(of_gradient, dtype)


def penalised_bound(value: Any, error: Any, penalty: float, count: int, dtype: DTypeLike) -> Any:
    """How far ``value + penalty`` may be off, given the `error` of `value`, if `penalty` meets `count` roundings."""
    if not penalty:
        return error
    off = gamma(count, dtype) * penalty + _unit(dtype) * (np.abs(value) + error) + count * _eta(dtype)
    return error + _with_reference(off, dtype)
