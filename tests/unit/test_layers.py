"""The public layer functions: what they take, and the one line each wrong argument gets."""

import numpy as np
import pytest

import minisnn
from minisnn import SpikeEvents, solvers
from minisnn.errors import InputError, SolverUnavailableError

FORWARDS = [minisnn.single_spike_forward, minisnn.multi_spike_forward]


def layer(dtype=np.float64):
    spikes = np.zeros((2, 5, 3), np.uint8)
    spikes[0, 1, 2] = 1
    return {"spikes": spikes, "weight": np.ones((3, 4), dtype), "bias": np.zeros(4, dtype), "decay": 0.5}


WRONG = [
    ({"spikes": np.zeros((2, 3))}, r"spikes must have shape \(batch, time, neuron\), got \(2, 3\)"),
    (
        {"spikes": np.zeros((2, 5, 7))},
        r"spikes must have shape \(batch, time, 3\) to fit weight, got \(2, 5, 7\)",
    ),
    ({"spikes": np.zeros((0, 5, 3))}, "at least one sample, step and neuron"),
    ({"spikes": np.zeros((2, 0, 3))}, "at least one sample, step and neuron"),
    ({"spikes": np.full((2, 5, 3), 2)}, r"spikes must be 0 or 1 .*counts=True.* got 2 at .* = \(0, 0, 0\)"),
    ({"spikes": np.full((2, 5, 3), 0.5)}, "spikes must be 0 or 1"),
    ({"spikes": np.full((2, 5, 3), np.nan)}, "spikes must be 0 or 1"),
    ({"spikes": np.full((2, 5, 3), "a")}, "spikes must be bool, integer or float"),
    ({"weight": np.ones((3, 4), int)}, "weight must be float32 or float64, got int64"),
    ({"weight": np.ones((3, 4), np.float16)}, "weight must be float32 or float64, got float16"),
    ({"weight": np.ones(3)}, r"weight must have shape \(n_in, n_out\), got \(3,\)"),
    ({"weight": np.full((3, 4), np.inf)}, r"weight must be finite, got inf at \(0, 0\)"),
    ({"bias": np.zeros(5)}, r"bias must have shape \(4,\), got \(5,\)"),
    ({"bias": np.zeros(4, np.float32)}, "bias must have the dtype of weight, float64, got float32"),
    ({"bias": np.full(4, np.nan)}, "bias must be finite"),
    ({"decay": 1.5}, r"decay must lie in \[0, 1\], got 1.5"),
    ({"decay": -0.1}, r"decay must lie in \[0, 1\]"),
    ({"decay": float("nan")}, r"decay must lie in \[0, 1\], got nan"),
    ({"decay": np.full(5, 0.5)}, r"decay must be a scalar or have shape \(4,\), got \(5,\)"),
    ({"decay": np.full(4, 0.5, np.float32)}, "decay must have the dtype of weight"),
    ({"threshold": float("inf")}, "threshold must be a finite number"),
    ({"threshold": "one"}, "threshold must be a number, got 'one'"),
    (
        {"solver": "numpy-sequental"},
        r"unknown solver 'numpy-sequental' \(did you mean 'numpy-sequential'\?\)",
    ),
]


@pytest.mark.parametrize("forward", FORWARDS)
@pytest.mark.parametrize(("change", "message"), WRONG)
def test_wrong_arguments(forward, change, message):
    with pytest.raises(InputError, match=message) as caught:
        forward(**(layer() | change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("solver", solvers.names())
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
    grad = np.ones((1, 3, 1))
    through, detached = (
        minisnn.multi_spike_backward(trace, grad, surrogate_scale=0.0, detach_reset=detach, solver=solver)
        for detach in (False, True)
    )
    # gU[t] = gV + (1 - gV) h' with h' = 1 and gV = gU[t+1]: always 1; detached it is gU[t+1] + 1.
    assert through.current.ravel().tolist() == [1, 1, 1]
    assert detached.current.ravel().tolist() == [3, 2, 1]


@pytest.mark.parametrize("solver", solvers.names())
def test_gradient_of_the_membrane_alone(solver):
    arguments = layer()
    trace = minisnn.single_spike_forward(**arguments, solver=solver)
    grad = np.zeros(trace.membrane.shape)
    grad[:, -1] = 1
    grads = minisnn.single_spike_backward(trace, grad_membrane=grad, solver=solver)
    assert grads.current[0, :, 0].tolist() == [0.0625, 0.125, 0.25, 0.5, 1]


def test_gradients_that_do_not_fit():
    trace = minisnn.single_spike_forward(**layer())
    good = np.zeros((2, 5, 4))
    for arguments, message in [
        ({}, "give grad_spikes, grad_membrane, or both; got neither"),
        ({"grad_spikes": good[:1]}, r"grad_spikes must have shape \(2, 5, 4\), got \(1, 5, 4\)"),
        ({"grad_membrane": good.astype(np.float32)}, "grad_membrane must have the dtype of weight"),
        ({"grad_spikes": good + np.nan}, "grad_spikes must be finite"),
        ({"grad_spikes": good, "gradient": "gatd"}, "unknown gradient 'gatd' .did you mean 'gated'"),
        (
            {"grad_spikes": good, "surrogate_scale": -1},
            "surrogate_scale must be a finite number >= 0, got -1",
        ),
        ({"grad_spikes": good, "solver": "nothing"}, "unknown solver"),
    ]:
        with pytest.raises(InputError, match=message):
            minisnn.single_spike_backward(trace, **arguments)
    with pytest.raises(
        InputError, match="trace must come from multi_spike_forward, got a single-spike trace"
    ):
        minisnn.multi_spike_backward(trace, good)
    with pytest.raises(InputError, match="got NoneType"):
        minisnn.single_spike_backward(None, good)


def test_overflow_is_an_error_and_never_a_wrong_number():
    huge = np.full((1, 1), 3e38, np.float32)
    spikes = np.ones((1, 4, 1))
    for solver in solvers.names():
        with (
            np.errstate(over="ignore", invalid="ignore"),
            pytest.raises(OverflowError, match="range of float32"),
        ):
            minisnn.single_spike_forward(spikes, huge, np.zeros(1, np.float32), 1.0, solver=solver)
    small = minisnn.single_spike_forward(spikes, np.ones((1, 1), np.float32), np.zeros(1, np.float32), 1.0)
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(OverflowError, match="gradient of weight"),
    ):
        minisnn.single_spike_backward(small, np.full((1, 4, 1), 3e38, np.float32), surrogate_scale=0)


@pytest.mark.parametrize("solver", solvers.names())
def test_counts_come_as_events(solver):
    raster = np.array([[[2], [0], [1]]])
    events = SpikeEvents.from_raster(raster, counts=True)
    trace = minisnn.single_spike_forward(events, np.array([[0.25]]), np.zeros(1), 1.0, solver=solver)
    assert trace.membrane.ravel().tolist() == [0.5, 0.5, 0.75]
    grads = minisnn.single_spike_backward(trace, np.ones((1, 3, 1)), surrogate_scale=0.0, solver=solver)
    assert grads.weight.ravel().tolist() == [2 * grads.current[0, 0, 0] + grads.current[0, 2, 0]]


def test_a_solver_that_is_not_there_says_what_is_missing(monkeypatch):
    def missing(name):
        raise ImportError("no module named 'something'")

    monkeypatch.setattr(solvers, "_module", missing)
    with pytest.raises(
        SolverUnavailableError, match="'numba-parallel' cannot run here: no module named 'something'"
    ):
        solvers.get("numba-parallel")
    assert solvers.names() == []


def test_a_solver_computes_what_it_computes():
    with pytest.raises(
        InputError, match="does not compute multi-spike layers; those that do: numpy-sequential"
    ):
        minisnn.multi_spike_forward(**layer(), solver="numpy-parallel")
    with pytest.raises(InputError, match="unknown neuron"):
        solvers.names("triple-spike")
    with pytest.raises(InputError, match="unknown neuron"):
        solvers.get("numpy-parallel", "triple-spike")


def test_the_gradient_by_spikes_exists_only_where_it_was_kept():
    grads = minisnn.Gradients(np.zeros((1, 1)), np.zeros(1), np.zeros(1))
    with pytest.raises(AttributeError, match="keep_current=True"):
        _ = grads.spikes


@pytest.mark.parametrize("solver", solvers.names())
def test_odd_sizes(solver):
    rng = np.random.default_rng(0)
    for batch, n_steps, n_in, n_out in [(1, 1, 1, 1), (3, 1, 2, 17), (2, 9, 33, 5), (7, 3, 1, 31)]:
        spikes = rng.random((batch, n_steps, n_in)) < 0.5
        weight, bias = rng.integers(-3, 4, (n_in, n_out)) / 4, np.zeros(n_out)
        expected = minisnn.single_spike_forward(spikes, weight, bias, 0.5, solver="numpy-sequential")
        got = minisnn.single_spike_forward(spikes, weight, bias, 0.5, solver=solver)
        assert np.array_equal(got.membrane, expected.membrane)
        grad = rng.integers(-3, 4, got.membrane.shape) / 4
        one, other = (
            minisnn.single_spike_backward(expected, grad, surrogate_scale=0, solver=name)
            for name in ("numpy-sequential", solver)
        )
        assert np.array_equal(one.weight, other.weight)


@pytest.mark.parametrize("solver", solvers.names())
def test_all_events_in_one_step_and_none_at_all(solver):
    weight, bias = np.full((6, 3), 0.25), np.array([0.0, 0.5, -1.0])
    for spikes in (np.zeros((2, 4, 6)), np.zeros((2, 4, 6))):
        spikes[1:, 2] = 1
        events = SpikeEvents.from_raster(spikes)
        expected = minisnn.single_spike_forward(spikes, weight, bias, 0.5, solver="numpy-sequential")
        got = minisnn.single_spike_forward(events, weight, bias, 0.5, solver=solver)
        assert np.array_equal(got.membrane, expected.membrane)
        assert np.array_equal(got.spike_times, expected.spike_times)
