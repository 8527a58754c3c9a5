"""A whole training step judged by derived bounds: right ones pass at every size and setting, wrong ones are named."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from minisnn import Network, NetworkConfig, solvers
from minisnn.errors import InputError
from minisnn.files import write_npz
from minisnn.loss import softmax_cross_entropy, softmax_cross_entropy_backward
from minisnn.oracle import check_step
from minisnn.oracle.bounds import cross_entropy_bounds
from minisnn.oracle.reference import reference_cross_entropy
from minisnn.oracle.step import peaks, shared_by_all, step_fault
from minisnn.oracle.step_cases import StepJudge, layers_of, settled
from minisnn.oracle.step_check import MOODS, drawn_steps
from minisnn.spikes import SpikeEvents
from tests.prepared import prepared_steps
from tests.step_mutants import MUTANTS, Step

WAYS = [(name, neuron) for neuron in solvers.NEURONS for name in solvers.names(neuron)]


def _drawn(seed, neuron, dtype):
    """A small network of any settings, and a batch for it."""
    rng = np.random.default_rng(seed)
    pick = lambda *values: values[rng.integers(len(values))]  # noqa: E731
    hidden = tuple(int(n) for n in rng.integers(1, 9, pick(1, 1, 2, 3)))
    config = NetworkConfig(
        sizes=(int(rng.integers(1, 12)), *hidden, int(rng.integers(1, 6))),
        neuron=neuron,
        gradient=pick("gated", "straight-through"),
        surrogate_scale=pick(0.0, 1.0, 10.0, 100.0),
        detach_reset=pick(True, False),
        readout=pick("max", "sum"),
        logit_scale=pick(0.01, 1.0, 8.0),
        threshold=pick(0.3, 1.0, 2.0),
        hidden_decay=pick(0.0, 0.5, 0.9, 1.0),
        readout_decay=pick(0.0, 0.8, 0.95, 1.0),
        learn_decay=pick(True, False),
        hidden_gain=pick(0.0, 1.0, 3.0, 8.0),
        spike_penalty=pick(0.0, 0.01, 3.0),
        dtype=dtype,
    )
    network = Network.random(config, seed)
    for name, array in network.parameters.items():
        if name.endswith("bias"):
            array[:] = rng.normal(0, pick(0.0, 0.3), array.shape)
    batch, n_steps = int(rng.integers(1, 5)), pick(1, 2, 7, 40)
    spikes = rng.random((batch, n_steps, config.sizes[0])) < pick(0.0, 0.1, 0.6)
    return network, spikes.astype(dtype), rng.integers(0, config.sizes[-1], batch)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("solver", "neuron"), WAYS)
def test_right_steps_pass(solver, neuron, dtype):
    for seed in range(40):
        network, spikes, labels = _drawn(seed, neuron, dtype)
        loss, gradients, activity = network.loss_and_gradients(spikes, labels, solver=solver)
        answers = {"": (loss, gradients)}
        if (solver, neuron) == ("numba-parallel", "single-spike"):
            answers["at once: "] = network.training_step(spikes, labels, solver=solver)[:2]
        assert step_fault(network.config, activity, spikes, labels, answers) is None, seed


def _step(neuron="single-spike", **choices):
    sizes = choices.pop("sizes", (12, 9, 4))
    network = Network.random(NetworkConfig(sizes=sizes, neuron=neuron, hidden_gain=3.0, **choices), 3)
    for name in network.config.layers[1:]:
        network.parameters[f"{name}.weight"] *= 4  # so that every layer fires
    rng = np.random.default_rng(5)
    spikes = (rng.random((3, 30, 12)) < 0.3).astype("float32")
    labels = rng.integers(0, 4, 3)
    loss, gradients, activity = network.loss_and_gradients(spikes, labels, solver="numpy-sequential")
    return network.config, activity, spikes, labels, loss, gradients


@pytest.mark.parametrize("neuron", solvers.NEURONS)
@pytest.mark.parametrize("layer", ["hidden1", "hidden2", "readout"])
@pytest.mark.parametrize("part", ["weight", "bias", "decay"])
def test_every_gradient_of_every_layer_is_judged(neuron, layer, part):
    config, *step, loss, gradients = _step(neuron, sizes=(12, 9, 7, 4), hidden_decay=0.7)
    wrong = gradients | {f"{layer}.{part}": gradients[f"{layer}.{part}"] * np.float32(1.01)}
    place = layer.replace("hidden", "hidden layer ")
    fault = step_fault(config, *step, {"": (loss, gradients), "again: ": (loss, wrong)})
    assert fault.startswith(f"again: {place}: gradient of {part}[")


def test_a_loss_that_is_not_that_of_the_logits_is_named():
    config, *step, loss, gradients = _step()
    assert step_fault(config, *step, {"": (loss * (1 + 1e-4), gradients)}).startswith("loss: expected")
    assert step_fault(config, *step, {"": (float("nan"), gradients)}).startswith("loss: expected")


@pytest.mark.parametrize("neuron", solvers.NEURONS)
def test_other_rules_than_those_of_the_network_are_found(neuron):
    config, *step, loss, gradients = _step(neuron, surrogate_scale=2.0)
    answers = {"": (loss, gradients)}
    assert step_fault(config, *step, answers) is None
    other = {"gradient": "gated"} if neuron == "single-spike" else {"detach_reset": True}
    for change in (other, {"surrogate_scale": 4.0}):
        assert "hidden layer: gradient" in step_fault(dataclasses.replace(config, **change), *step, answers)


def test_a_peak_that_is_none_is_named():
    config, activity, *rest, loss, gradients = _step(readout="max")
    late = dataclasses.replace(activity.readout, peak_times=(activity.readout.peak_times + 7) % 30)
    activity = dataclasses.replace(activity, readout=late)
    assert "step of the maximum" in step_fault(config, activity, *rest, {"": (loss, gradients)})


@pytest.mark.parametrize("size", [0.0, 1.0, 30.0, 300.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_softmax_keeps_its_bound_and_is_not_loose(dtype, size):
    for seed in range(50):
        rng = np.random.default_rng(seed)
        logits, labels = (size * rng.normal(size=(6, 5))).astype(dtype), rng.integers(0, 5, 6)
        loss, probabilities = softmax_cross_entropy(logits, labels)
        gradient = 6 * softmax_cross_entropy_backward(probabilities, labels)
        exact = reference_cross_entropy(logits.astype("float64"), labels)
        of_loss, of_gradient = cross_entropy_bounds(logits.astype("float64"), *exact, dtype, np.zeros(1))
        assert abs(loss - exact[0].mean()) <= of_loss < 1e-3 * (1 + loss)
        assert (np.abs(gradient - exact[2]) <= of_gradient).all()
        assert (of_gradient < 1e-3).all()


def test_the_softmax_keeps_its_bound_if_its_logits_are_off():
    for seed in range(200):
        rng = np.random.default_rng(seed)
        logits, labels = rng.choice([1.0, 30.0, 1e3]) * rng.normal(size=(3, 4)), rng.integers(0, 4, 3)
        error = 10.0 ** rng.integers(-6, 2) * rng.random((3, 4))
        exact = reference_cross_entropy(logits, labels)
        of_loss, of_gradient = cross_entropy_bounds(logits, *exact, "float64", error)
        other = reference_cross_entropy(logits + error * rng.choice([-1, 1], (3, 4)), labels)
        assert abs(other[0].mean() - exact[0].mean()) <= of_loss <= 4.01 * error.max() + 1e-9
        assert (np.abs(other[2] - exact[2]) <= of_gradient).all()


# ---- one decay for all neurons ------------------------------------------------------------------------


def test_the_bound_of_a_shared_decay_holds_neurons_at_the_edge_of_their_own():
    rng = np.random.default_rng(0)
    each, error = rng.normal(size=50), 1e-3 * rng.random(50)
    value, bound = shared_by_all(each, error, "float64")
    assert value == each.sum()
    assert (each + error).sum() - value <= bound <= error.sum() * (1 + 1e-12) + 1e-12


def test_the_bound_of_a_shared_decay_holds_the_rounding_of_a_sum_in_order():
    # Every addition of a little more than half a unit in the last place is rounded up to a whole one.
    each = np.full(1000, 2.0**-24 * 1.01)
    each[0] = 1
    total = np.float32(0)
    for value in each.astype("float32"):
        total += value
    value, bound = shared_by_all(each.astype("float32").astype("float64"), np.zeros(1000), "float32")
    assert 0.9 * bound < total - value <= bound


@pytest.mark.parametrize("neuron", solvers.NEURONS)
def test_a_step_with_shared_decays_is_the_sum_of_one_with_equal_ones(neuron):
    judge = StepJudge()
    for _, cases in drawn_steps("float32", 1, 0, judge):
        for case in cases:
            config, parameters = case.network.config, dict(case.network.parameters)
            if config.learn_decay or config.neuron != neuron:
                continue
            shared = judge.expected(case)
            decays = [f"{layer}.decay" for layer in config.layers]
            for name in decays:
                like = parameters[name.replace("decay", "bias")]
                parameters[name] = np.full_like(like, parameters[name])
            learned = Network(dataclasses.replace(config, learn_decay=True), parameters)
            each = judge.expected(dataclasses.replace(case, network=learned))
            for (value, bound), (values, bounds) in ((shared[name], each[name]) for name in decays):
                assert abs(value - values.sum()) <= 1e-12 * np.abs(values).sum()
                assert bound >= bounds.sum()


# ---- check_step ---------------------------------------------------------------------------------------


def _by_solver(solver):
    def step(spikes, labels, parameters, config):
        network = Network(NetworkConfig(**config), parameters)
        way = solver if solver in solvers.names(network.config.neuron) else "numpy-sequential"
        loss, gradients, activity = network.loss_and_gradients(spikes, labels, solver=way)
        return {"logits": activity.logits, "loss": loss} | gradients

    return step


@pytest.mark.parametrize(
    ("seed", "step"), [(0, Step()), (1, _by_solver("numpy-parallel"))], ids=["plain", "parallel"]
)
def test_right_ports_of_a_step_pass(seed, step):
    report = check_step(step, seed=seed, examples=1)
    assert report.passed, str(report)
    tallies = report.tried["step"]
    assert {mood: tally.cases for mood, tally in tallies.items()} == dict.fromkeys(MOODS, 2 * 16)
    assert sum(tally.judged for tally in tallies.values()) > 5000
    assert max(report.ratios.values()) < 1
    assert not report.notes


def test_a_step_in_wider_precision_or_another_order_passes():
    def backwards(spikes, labels, parameters, config):
        """In float64 whatever came, inputs and samples in reverse."""
        wide = {name: array.astype("float64") for name, array in parameters.items()}
        wide["hidden1.weight"] = wide["hidden1.weight"][::-1]
        answer = Step()(spikes[::-1, :, ::-1].astype("float64"), labels[::-1], wide, config)
        answer["hidden1.weight"] = answer["hidden1.weight"][::-1]
        return answer | {"logits": answer["logits"][::-1]}

    assert check_step(backwards, examples=1).passed


@pytest.mark.parametrize("name", MUTANTS)
def test_every_wrong_step_is_caught_and_its_rule_named(name):
    wrong, rule = MUTANTS[name]
    finding = prepared_steps()(wrong()).findings[0]
    assert finding.rule == rule, finding.text()
    assert "\n" not in finding.diagnosis.text


def test_a_wrong_step_is_told_by_its_smallest_case():
    text = str(check_step(MUTANTS["SharesPeak"][0](), examples=1))
    assert "shared among them; expected all of it in the first" in text
    assert "batch, steps = 1, 2" in text  # two steps make a tie
    softmax = check_step(MUTANTS["Overflows"][0](), examples=1).findings[0]
    assert softmax.diagnosis.likely[0].startswith("logits whose exponentials overflow")


@pytest.mark.parametrize("part", ["logits", "loss", "readout.decay", "hidden2.weight", "hidden1.bias"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_errors_in_any_quantity_are_seen(part, dtype):
    def wrong(*arguments):
        answer = Step()(*arguments)
        return answer | {part: answer[part] * (1 + 3e-4)} if part in answer else answer

    finding = prepared_steps(dtype)(wrong).findings[0]
    assert finding.rule in (part.split(".")[0], "precision")
    assert {violation.kind for violation in finding.violations} == {part}


def test_the_cases_reach_every_corner():
    seen, judge = Counter(), StepJudge()
    drawn = [drawn_steps(dtype, 1, 0, judge) for dtype in ("float32", "float64")]
    for case in (case for batteries in drawn for _, cases in batteries for case in cases):
        config, (*hidden, readout) = case.network.config, layers_of(case, judge)
        assert settled(case, judge) is case
        potential = readout.forward.potential
        top = (potential == potential.max(axis=1, keepdims=True)).sum(axis=1)
        seen["tie"] += config.readout == "max" and (top > 1).any() and not peaks(readout)[1].any()
        seen["silent"] += any(not layer.forward.fired.any() for layer in hidden)
        seen["at threshold"] += any((layer.forward.potential == config.threshold).any() for layer in hidden)
        logits = judge.expected(case)["logits"][0]
        seen["overflow"] += np.ptp(logits) > np.log(np.finfo(case.dtype).max)
        seen["alone"] += len(case.labels) == 1
        seen["one step"] += potential.shape[1] == 1
        seen["one class"] += potential.shape[2] == 1
    assert min(seen.values()) >= 4, seen


def _network(**choices):
    return Network.random(NetworkConfig(sizes=(40, 60, 30, 10), hidden_gain=4.0, **choices), 1)


@pytest.mark.parametrize("neuron", solvers.NEURONS)
@pytest.mark.parametrize("readout", ["max", "sum"])
def test_a_given_network_is_tried_with_its_parameters_and_others(neuron, readout, tmp_path):
    network = _network(neuron=neuron, readout=readout)
    network.save(tmp_path / "network.npz")
    report = check_step(Step(), tmp_path / "network.npz")
    assert report.passed, str(report)
    assert [tally.cases for tally in report.tried["step"].values()] == [4, 4]
    assert check_step(MUTANTS["WrongSign"][0](), network, examples=1).findings[0].rule == "sign"


class NoPenalty(Step):
    factor = 0

    def penalty(self, config, batch):
        return super().penalty(config, batch) * np.asarray(self.factor, config["dtype"])


class PenaltyOff(NoPenalty):
    factor = 1.0003


class PenaltyOnlyOfLoss(NoPenalty):
    def finished(self, gradients, config):
        return {"loss": self.loss} | gradients

    def __call__(self, spikes, labels, parameters, config):
        self.loss = Step()(spikes, labels, parameters, config)["loss"]
        return super().__call__(spikes, labels, parameters, config)


@pytest.mark.parametrize("neuron", solvers.NEURONS)
def test_the_spike_penalty_of_a_given_network_is_judged(neuron):
    network = _network(neuron=neuron, spike_penalty=0.05)
    assert check_step(Step(), network, examples=1).passed
    assert check_step(NoPenalty(), network, examples=1).findings[0].rule == "spike-penalty"
    assert not check_step(PenaltyOff(), network, examples=1).passed
    wrong = check_step(PenaltyOnlyOfLoss(), network, examples=1).findings[0].violations
    assert {violation.kind.split(".")[0] for violation in wrong} == {"hidden1", "hidden2"}


def test_a_batch_may_be_given():
    rng, seen = np.random.default_rng(0), []

    def step(spikes, *rest):
        seen.append(spikes.sum())
        return Step()(spikes, *rest)

    spikes, labels = rng.random((5, 12, 40)) < 0.2, rng.integers(0, 10, 5)
    events = SpikeEvents.from_raster(spikes)
    for batch in (spikes, events):
        assert check_step(step, _network(), batch, labels, dtype="float32", examples=1).passed
    assert set(seen) == {spikes.sum()}


def test_a_saved_case_can_be_tried_again(tmp_path):
    finding = check_step(MUTANTS["SharesPeak"][0](), examples=1).findings[0]
    write_npz(tmp_path / "case.npz", finding.case.arrays())
    again = check_step(MUTANTS["SharesPeak"][0](), tmp_path / "case.npz", examples=1)
    assert again.findings[0].rule == "peak"
    assert check_step(Step(), tmp_path / "case.npz", examples=1).passed


def test_a_step_that_is_named_runs_in_a_process_of_its_own(tmp_path):
    """It may crash there, and it is given plain Python: a configuration to make a network of."""
    (tmp_path / "port.py").write_text(
        "import os\n"
        "from minisnn import Network, NetworkConfig\n"
        "def step(spikes, labels, parameters, config):\n"
        "    network = Network(NetworkConfig(**config), parameters)\n"
        "    loss, gradients, activity = network.loss_and_gradients(spikes, labels, solver='numpy-sequential')\n"
        "    return gradients | {'loss': loss, 'logits': activity.logits}\n"
        "def leaves(*arguments):\n"
        "    os._exit(0)\n"
    )
    assert check_step(f"{tmp_path}/port.py:step", examples=1).passed
    assert check_step(f"{tmp_path}/port.py:leaves", examples=1).findings[0].rule == "exit"


def test_quantities_that_are_not_returned_are_named():
    report = prepared_steps("float64")(lambda *a: {"loss": Step()(*a)["loss"]})
    assert report.passed
    assert report.notes == ("not returned, and so not judged: logits, weight, bias, decay",)


@pytest.mark.parametrize(
    ("step", "rule"),
    [
        (lambda *a: {}, "answer"),
        (lambda *a: {"loss": 1.0, "losses": 1.0}, "answer"),
        (lambda *a: 3, "answer"),
        (lambda *a: {"loss": [1.0]}, "shape"),
        (lambda *a: {"loss": float("nan")}, "nan"),
        (lambda *a: {"loss": 1j}, "answer"),
        (lambda *a: a[2].pop("readout.bias") / 0, "exception"),
    ],
)
def test_accidents_are_findings(step, rule):
    assert prepared_steps()(step).findings[0].rule == rule


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((3,), "step must be functions, or names of functions"),
        ((Step(), None, np.zeros((1, 2, 3))), "give all three"),
        ((Step(), _network(), np.zeros((1, 2, 40))), "give all three"),
        ((Step(), _network(), np.zeros((1, 2, 3)), [0]), "40"),
        ((Step(), _network(), np.zeros((1, 2, 40)), [10]), "labels"),
    ],
)
def test_wrong_use_is_one_line(arguments, words):
    with pytest.raises(InputError, match=words) as caught:
        check_step(*arguments)
    assert "\n" not in str(caught.value)
