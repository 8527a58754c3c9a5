"""The public layer functions: what they take, and the one line each wrong argument gets."""

import dataclasses

import numpy as np
import pytest

import minisnn
from minisnn import SpikeEvents, solvers
from minisnn.errors import InputError
from tests.helpers import one_line, same

FORWARDS = {"single-spike": minisnn.single_spike_forward, "multi-spike": minisnn.multi_spike_forward}
SOLVERS = pytest.mark.parametrize("solver", solvers.names())


def layer(dtype=np.float64):
    spikes = np.zeros((2, 5, 3), np.uint8)
    spikes[0, 1, 2] = 1
    return {"spikes": spikes, "weight": np.ones((3, 4), dtype), "bias": np.zeros(4, dtype), "decay": 0.5}


EVENTS = SpikeEvents.from_raster(layer()["spikes"])
X = layer()["spikes"]


@pytest.mark.parametrize("neuron", FORWARDS)
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("spikes", np.zeros((2, 3)), r"spikes must have shape \(batch, time, neuron\), got \(2, 3\)"),
        ("spikes", np.zeros((2, 5, 7)), r"spikes must have shape \(batch, time, 3\) to fit weight, got \(2, 5, 7\)"),
        ("spikes", np.zeros((0, 5, 3)), "at least one sample, step and neuron"),
        ("spikes", np.zeros((2, 0, 3)), "at least one sample, step and neuron"),
        ("spikes", np.full((2, 5, 3), 2), r"spikes must be 0 or 1 .*counts=True.* got 2 at .* = \(0, 0, 0\)"),
        ("spikes", np.full((2, 5, 3), 0.5), "spikes must be 0 or 1"),
        ("spikes", np.full((2, 5, 3), np.nan), "spikes must be 0 or 1"),
        ("spikes", np.full((2, 5, 3), "a"), "spikes must be bool, integer or float"),
        ("spikes", X.astype(complex), ""),
        ("spikes", [EVENTS, EVENTS], ""),
        ("spikes", np.ma.array(X, mask=X == 1), ""),
        ("spikes", [np.ma.array(X[0], mask=X[0] == 1)], ""),
        ("spikes", [[1, [2]]], ""),
        ("spikes", None, ""),
        ("weight", np.ones((3, 4), int), "weight must be float32 or float64, got int64"),
        ("weight", np.ones((3, 4), np.float16), "weight must be float32 or float64, got float16"),
        ("weight", np.ones((3, 4), complex), ""),
        ("weight", np.ones(3), r"weight must have shape \(n_in, n_out\), got \(3,\)"),
        ("weight", np.full((3, 4), np.inf), r"weight must be finite, got inf at \(0, 0\)"),
        ("bias", np.zeros(5), r"bias must have shape \(4,\), got \(5,\)"),
        ("bias", np.zeros(4, np.float32), "bias must have the dtype of weight, float64, got float32"),
        ("bias", np.full(4, np.nan), "bias must be finite"),
        ("bias", np.ma.masked_equal(np.zeros(4), 0), ""),
        ("decay", 1.5, r"decay must lie in \[0, 1\], got 1.5"),
        ("decay", -0.1, r"decay must lie in \[0, 1\]"),
        ("decay", float("nan"), r"decay must lie in \[0, 1\], got nan"),
        ("decay", np.full(5, 0.5), r"decay must be a scalar or have shape \(4,\), got \(5,\)"),
        ("decay", np.full(4, 0.5, np.float32), "decay must have the dtype of weight"),
        ("decay", 10**400, ""),
        ("decay", np.ma.masked, ""),
        ("threshold", float("inf"), "threshold must be a finite number"),
        ("threshold", "one", "threshold must be a number, got 'one'"),
        ("threshold", "1", ""),
        ("solver", "numpy-sequental", r"unknown solver 'numpy-sequental' \(did you mean 'numpy-sequential'\?\)"),
        ("solver", ["numpy-parallel"], ""),
    ],
)  # fmt: skip
def test_wrong_arguments(neuron, name, value, message):
    with one_line(InputError, message):
        FORWARDS[neuron](**layer() | {name: value})


GOOD = np.zeros((2, 5, 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give grad_spikes, grad_membrane, or both; got neither"),
        ({"grad_spikes": GOOD[:1]}, r"grad_spikes must have shape \(2, 5, 4\), got \(1, 5, 4\)"),
        ({"grad_membrane": GOOD.astype(np.float32)}, "grad_membrane must have the dtype of weight"),
        ({"grad_spikes": GOOD + np.nan}, "grad_spikes must be finite"),
        ({"grad_spikes": GOOD, "gradient": "gatd"}, "unknown gradient 'gatd' .did you mean 'gated'"),
        (
            {"grad_spikes": GOOD, "surrogate_scale": -1},
            "surrogate_scale must be a finite number >= 0, got -1",
        ),
        ({"grad_spikes": GOOD, "solver": "nothing"}, "unknown solver"),
    ],
)
def test_gradients_that_do_not_fit(arguments, message):
    trace = minisnn.single_spike_forward(**layer())
    with one_line(InputError, message):
        minisnn.single_spike_backward(trace, **arguments)


def test_traces_that_do_not_fit():
    single, multi = (forward(**layer()) for forward in FORWARDS.values())
    with one_line(InputError, "trace must come from multi_spike_forward, got a single-spike trace"):
        minisnn.multi_spike_backward(single, GOOD)
    with one_line(InputError, "got NoneType"):
        minisnn.single_spike_backward(None, GOOD)
    with one_line(InputError):
        minisnn.multi_spike_backward(multi, GOOD, detach_reset="yes")


def test_arguments_of_other_types():
    trace = minisnn.multi_spike_forward(
        **layer() | {"decay": np.float32(0.5).astype(">f8")}, threshold=np.array([2])
    )
    assert (trace.threshold, type(trace.threshold)) == (2.0, float)
    detached, expected = (
        minisnn.multi_spike_backward(trace, GOOD + 1, detach_reset=yes) for yes in (np.bool_(True), True)
    )
    same(detached, expected, ["weight"])


# ---- by hand ----------------------------------------------------------------------------------------


@SOLVERS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_neuron_by_hand(solver, dtype):
    spikes = np.array([[[1], [1], [0], [1]]])
    weight = np.array([[0.75]], dtype)
    trace = minisnn.single_spike_forward(spikes, weight, np.zeros(1, dtype), 0.5, solver=solver)
    assert trace.membrane.ravel().tolist() == [0.75, 1.125, 0.5625, 1.03125]
    assert trace.spike_times.tolist() == [[1]]
    assert trace.spikes.ravel().tolist() == [0, 1, 0, 0]
    assert trace.membrane.dtype == trace.spikes.dtype == dtype
    grad = np.zeros((1, 4, 1), dtype)
    grad[0, 3] = 1
    # gS~ = (4, 3, 2, 1): a crossing in step k moves z[3] by 4 - k; gI = gS~ + 0.5 gI[t+1]
    grads = minisnn.single_spike_backward(trace, grad, surrogate_scale=0.0, solver=solver)
    assert grads.current.ravel().tolist() == [6.125, 4.25, 2.5, 1]
    assert grads.weight.ravel().tolist() == [6.125 + 4.25 + 1]
    assert grads.bias.tolist() == [13.875]
    assert grads.spikes.ravel().tolist() == [0.75 * g for g in (6.125, 4.25, 2.5, 1)]
    assert grads.decay == 4.25 * 0.75 + 2.5 * 1.125 + 1 * 0.5625
    assert grads.decay.shape == ()
    # Gated: the gradient comes in after the spike, where the gate is closed.
    gated = minisnn.single_spike_backward(trace, grad, surrogate_scale=0.0, gradient="gated", solver=solver)
    assert not gated.current.any()


@pytest.mark.parametrize("solver", solvers.names("multi-spike"))
def test_conventional_neuron_by_hand(solver):
    spikes = np.ones((1, 3, 1))
    trace = minisnn.multi_spike_forward(spikes, np.array([[0.75]]), np.zeros(1), 1.0, solver=solver)
    assert trace.potential.ravel().tolist() == [0.75, 1.5, 1.25]
    assert trace.spikes.ravel().tolist() == [0, 1, 1]
    assert trace.membrane.ravel().tolist() == [0.75, 0.5, 0.25]
    assert trace.spike_times.tolist() == [[1]]
    # gU[t] = gV + (1 - gV) h' with h' = 1 and gV = gU[t+1]: always 1; detached it is gU[t+1] + 1.
    for detach, expected in ((False, [1, 1, 1]), (True, [3, 2, 1])):
        options = {"surrogate_scale": 0.0, "detach_reset": detach, "solver": solver}
        grads = minisnn.multi_spike_backward(trace, np.ones((1, 3, 1)), **options)
        assert grads.current.ravel().tolist() == expected


@SOLVERS
def test_counts_come_as_events(solver):
    events = SpikeEvents.from_raster(np.array([[[2], [0], [1]]]), counts=True)
    trace = minisnn.single_spike_forward(events, np.array([[0.25]]), np.zeros(1), 1.0, solver=solver)
    assert trace.membrane.ravel().tolist() == [0.5, 0.5, 0.75]
    grads = minisnn.single_spike_backward(trace, np.ones((1, 3, 1)), surrogate_scale=0.0, solver=solver)
    assert grads.weight.ravel().tolist() == [2 * grads.current[0, 0, 0] + grads.current[0, 2, 0]]


# ---- other sizes and numbers ------------------------------------------------------------------------


@SOLVERS
def test_overflow_is_an_error_and_never_a_wrong_number(solver):
    huge, one, zero = np.full((1, 1), 3e38, np.float32), np.ones((1, 1), np.float32), np.zeros(1, np.float32)
    spikes = np.ones((1, 4, 1))
    with np.errstate(over="ignore", invalid="ignore"):
        with one_line(OverflowError, "the potential left the range of float32"):
            minisnn.single_spike_forward(spikes, huge, zero, 1.0, solver=solver)
        trace = minisnn.single_spike_forward(spikes, one, zero, 1.0, solver=solver)
        with one_line(OverflowError, "gradient of weight"):
            minisnn.single_spike_backward(trace, 3e38 * spikes.astype("f4"), surrogate_scale=0, solver=solver)


def test_the_gradient_by_spikes_exists_only_where_it_was_kept():
    grads = minisnn.Gradients(np.zeros((1, 1)), np.zeros(1), np.zeros(1))
    with one_line(AttributeError, "keep_current=True"):
        _ = grads.spikes


@pytest.mark.parametrize("neuron", FORWARDS)
def test_a_number_beyond_the_dtype_is_refused(neuron):
    """Cast, it would be infinite: no neuron could fire, or no gradient pass."""
    forward, backward = FORWARDS[neuron], getattr(minisnn, f"{neuron.replace('-', '_')}_backward")
    trace = forward(**layer(np.float32))
    for name, call in (
        ("threshold", lambda: forward(**layer(np.float32), threshold=1e39)),
        ("surrogate_scale", lambda: backward(trace, trace.membrane, surrogate_scale=1e39)),
        (
            "the threshold of trace",
            lambda: backward(dataclasses.replace(trace, threshold=1e39), trace.membrane),
        ),
    ):
        with one_line(InputError, rf"{name} must be a finite number .*<= 3.40282e\+38, got 1e\+39"):
            call()
