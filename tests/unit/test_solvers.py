"""What a solver offers: functions of its own, and defaults for the rest."""

import numpy as np
import pytest

from minisnn import solvers
from minisnn.errors import InputError

EVERY = ("next_input", "single_spike_forward", "single_spike_backward", "readout_forward", "readout_backward")


@pytest.mark.parametrize("name", solvers.names())
def test_every_solver_has_the_functions_of_its_neurons(name):
    solver = solvers.get(name)
    assert isinstance(solver, solvers.Solver)
    assert solver is solvers.get(name)
    assert set(EVERY) <= set(vars(solver))
    conventional = {"multi_spike_forward", "multi_spike_backward"} <= set(vars(solver))
    assert conventional == (name in solvers.names("multi-spike"))


def test_defaults_on_the_cpu():
    solver, values = solvers.get("numpy-parallel"), {"a": np.ones(2)}
    assert solver.to_device(values) is values
    assert solver.to_host(values) is values
    assert solver.synchronise() is None
    assert solver.on_host
    assert not solver.has_threads
    assert solver.run_network(None, None, [], None) is None
    assert not solver.unchanged([], None)
    with pytest.raises(InputError, match="solver 'numpy-parallel' has no threads to set; BLAS has its own"):
        solver.set_threads(2)


@pytest.mark.parametrize("size", [1, 31, 32, 70])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_adam_has_the_bits_of_the_default(size, dtype):
    names, answers = solvers.names(), []
    for name in names:
        rng = np.random.default_rng(size)
        parameter, first, second = (
            rng.standard_normal(size).astype(dtype),
            np.zeros(size, dtype),
            np.zeros(size, dtype),
        )
        for step in (1, 2, 3):
            gradient = rng.standard_normal(size).astype(dtype)
            rule = solvers.AdamRule(0.01, 0.9, 0.999, 1e-8, step, 0.1)
            solvers.get(name).adam_update(parameter, gradient, first, second, rule)
        answers.append((parameter, first, second))
    for name, answer in zip(names, answers):
        for one, other in zip(answer, answers[0]):
            np.testing.assert_array_equal(one, other, err_msg=name)
