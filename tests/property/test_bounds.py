"""On any floats every solver stays within the derived rounding bound, and fires when it may."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minisnn
from minisnn import oracle
from minisnn.oracle.bounds import judge_spike_times, potential_bound
from minisnn.oracle.reference import reference_forward
from tests.ports import backward_of, forward_of
from tests.strategies import MULTI_SOLVERS, SOLVERS, float_cases


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", SOLVERS)
@given(data=st.data())
def test_membrane_and_spike_times(solver, dtype, data):
    case = data.draw(float_cases(dtype=dtype))
    exact = reference_forward(oracle.Case("drawn", "single-spike", *case.layer))
    bound = potential_bound(*case.layer, dtype)
    trace = minisnn.single_spike_forward(*case.layer, solver=solver)
    assert np.all(np.abs(trace.membrane - exact.potential) <= bound)
    assert judge_spike_times(trace.spike_times, exact.potential, bound).right.all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_single_spike_solvers_pass_the_oracle(solver):
    report = oracle.check(forward_of(solver), backward_of(solver), examples=25)
    assert report.passed, str(report)


@pytest.mark.parametrize("solver", MULTI_SOLVERS)
@pytest.mark.parametrize("gradient", ["through-reset", "detached-reset"])
def test_multi_spike_solvers_pass_the_oracle(solver, gradient):
    run = forward_of(solver, "multi-spike"), backward_of(solver, "multi-spike")
    report = oracle.check(*run, neuron="multi-spike", gradient=gradient, examples=20)
    assert report.passed, str(report)
