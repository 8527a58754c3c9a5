"""Who owns an array, and what happens to what is handed over, assigned or changed behind minisnn's back."""

import dataclasses
import json
import pickle
import re
from fractions import Fraction

import numpy as np
import pytest

import minisnn
from minisnn import Network, NetworkConfig, SpikeEvents, TrainingConfig, solvers
from minisnn.datasets import Dataset, EventSamples
from minisnn.errors import InputError
from minisnn.loss import softmax_cross_entropy
from minisnn.network import Activity
from minisnn.reading import checked_count, checked_flag, checked_float, checked_name
from minisnn.training.optimiser import Adam

COMPILED = [name for name in solvers.names() if name.startswith("numba")]
CONFIG = NetworkConfig((6, 64, 3), logit_scale=0.05, hidden_gain=4.0)
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 64)
EVENTS = SpikeEvents.from_spike_times(
    np.clip(RNG.integers(0, 4, (64, 6)) + LABELS[:, None] * 5, 0, 20), n_steps=20
)
HOW = TrainingConfig(epochs=2, lr=1e-2, batch_size=32)


def dataset(labels=LABELS, **change):
    part = EventSamples(EVENTS, labels)
    return Dataset("own", part, part, 6, 3, 20, **change)


def start():
    return Network.random(CONFIG, 1).parameters


@pytest.mark.parametrize("solver", ["numpy-parallel", *COMPILED])
def test_weights_of_a_transposed_array_are_trained(solver):
    weight = np.asfortranarray(start()["hidden1.weight"])
    network = Network(CONFIG, start() | {"hidden1.weight": weight})
    minisnn.train(network, dataset(), dataclasses.replace(HOW, solver=solver))
    assert (network.parameters["hidden1.weight"] != weight).any()
    assert np.array_equal(weight, start()["hidden1.weight"])


@pytest.mark.parametrize("solver", COMPILED)
@pytest.mark.parametrize("assigned", [False, True])
def test_a_column_of_a_table_leaves_the_table_alone(solver, assigned):
    table = np.zeros((64, 2), np.float32)
    table[:, 1] = 7
    network = Network(CONFIG, start() if assigned else start() | {"hidden1.bias": table[:, 0]})
    if assigned:
        network.parameters["hidden1.bias"] = table[:, 0]
    minisnn.train(network, dataset(), dataclasses.replace(HOW, solver=solver))
    assert (table == [0, 7]).all()
    assert network.parameters["hidden1.bias"].any()


def test_two_networks_of_one_dictionary_share_nothing():
    given = start()
    one, other = Network(CONFIG, given), Network(CONFIG, given)
    other.parameters = one.parameters  # nor after this
    minisnn.train(one, dataset(), HOW)
    other.own_parameters()
    trained = {name: array.copy() for name, array in one.parameters.items()}
    minisnn.train(other, dataset(), HOW)
    assert all(np.array_equal(trained[name], array) for name, array in one.parameters.items())
    assert all(np.array_equal(given[name], array) for name, array in start().items())


def test_a_network_keeps_its_dictionary_and_its_arrays():
    network = Network(CONFIG, start())
    parameters, arrays = network.parameters, dict(network.parameters)
    network.forward(EVENTS)
    minisnn.train(network, dataset(), HOW)
    assert network.parameters is parameters
    assert all(parameters[name] is array for name, array in arrays.items())


def test_parameters_mapped_from_a_file_by_joblib(tmp_path):
    joblib = pytest.importorskip("joblib")
    network = Network.random(NetworkConfig((6, 800, 3)), 1)
    joblib.dump(network, tmp_path / "network.joblib")
    mapped = joblib.load(tmp_path / "network.joblib", mmap_mode="r")
    before = (tmp_path / "network.joblib").read_bytes()
    minisnn.train(mapped, dataset(), HOW)
    minisnn.train(network, dataset(), HOW)
    assert np.array_equal(mapped.parameters["hidden1.weight"], network.parameters["hidden1.weight"])
    assert (tmp_path / "network.joblib").read_bytes() == before


def test_what_the_callback_assigns_is_what_is_trained():
    seen = []

    def clip(metrics):
        seen.append(metrics.epoch)
        for name, array in network.parameters.items():
            network.parameters[name] = np.asfortranarray(np.clip(array, 0, 0.01))

    network = Network(CONFIG, start())
    minisnn.train(network, dataset(), HOW, on_epoch=clip)
    assert seen == [1, 2]
    assert max(array.max() for array in network.own_parameters().values()) <= np.float32(0.01)


def use_by(name):
    return {
        "forward": lambda network: network.forward(EVENTS),
        "training_step": lambda network: network.training_step(EVENTS, LABELS),
        "loss_and_gradients": lambda network: network.loss_and_gradients(EVENTS, LABELS),
        "train": lambda network: minisnn.train(network, dataset(), HOW),
        "evaluate": lambda network: minisnn.evaluate(network, dataset().test),
        "to_arrays": lambda network: network.to_arrays(),
    }[name]


@pytest.mark.parametrize(
    "use", ["forward", "training_step", "loss_and_gradients", "train", "evaluate", "to_arrays"]
)
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("hidden1.weight", np.zeros((6, 64)), "hidden1.weight must be float32 of shape (6, 64), got float64"),
        ("hidden1.weight", np.zeros((64, 6), np.float32), "got float32 of shape (64, 6)"),
        ("hidden1.bias", np.full(64, np.nan, np.float32), "hidden1.bias must be finite, got nan at (0,)"),
        ("hidden1.decay", np.full(64, 1.5, np.float32), "hidden1.decay must lie in [0, 1], got 1.5"),
        ("hidden1.bias", None, "hidden1.bias must be float32 of shape (64,), got object"),
        ("hidden1.bias", np.ma.zeros(64, np.float32), "hidden1.bias must not be a masked array"),
        ("output.bias", np.zeros(3, np.float32), "missing or unknown: output.bias"),
    ],
)
def test_what_is_assigned_is_checked_at_the_next_use(use, name, value, message):
    network = Network(CONFIG, start())
    network.parameters[name] = value
    with pytest.raises(InputError, match=re.escape(message)):
        use_by(use)(network)
    # Mended, the network goes on; nothing of it was changed.
    network.parameters = start()
    assert np.array_equal(network.forward(EVENTS).logits, Network(CONFIG, start()).forward(EVENTS).logits)


@pytest.mark.parametrize("use", ["forward", "training_step", "train", "evaluate"])
def test_not_a_number_in_place_is_seen_whoever_computes(use):
    network = Network(CONFIG, start())
    network.parameters["hidden1.weight"][2, 3] = np.nan
    with pytest.raises(InputError, match=re.escape("hidden1.weight must be finite, got nan at (2, 3)")):
        use_by(use)(network)


def test_a_locked_array_is_copied_not_changed():
    network = Network(CONFIG, start())
    locked = network.parameters["hidden1.weight"]
    locked.flags.writeable = False
    before = locked.copy()
    minisnn.train(network, dataset(), HOW)
    assert np.array_equal(locked, before)
    assert (network.parameters["hidden1.weight"] != before).any()


def test_events_changed_after_they_were_made():
    for attack in (
        lambda e: e.indices.fill(10**6),
        lambda e: e.indptr.fill(10**9),
        lambda e: e.indices.fill(-5),
    ):
        events = EVENTS[:4]
        events = SpikeEvents(events.indptr, events.indices, 20, 6)
        trace = minisnn.single_spike_forward(
            events, np.ones((6, 2)), np.zeros(2), 0.5, solver="numba-parallel"
        )
        activity = Network(CONFIG, start()).forward(events)
        attack(events)
        for use in (
            lambda: minisnn.single_spike_forward(events, np.ones((6, 2)), np.zeros(2), 0.5),  # noqa: B023
            lambda: minisnn.single_spike_backward(trace, np.ones((4, 20, 2)), solver="numba-parallel"),  # noqa: B023
            lambda: Network(CONFIG, start()).forward(events, solver="numba-parallel"),  # noqa: B023
            lambda: Network(CONFIG, start()).backward(activity, np.ones((4, 3), np.float32)),  # noqa: B023
        ):
            with pytest.raises(InputError, match="changed after they were made"):
                use()


def test_events_that_are_mapped_from_a_file_or_locked():
    locked = SpikeEvents(EVENTS.indptr, EVENTS.indices, 20, 6)
    for array in (locked.indptr, locked.indices):
        array.flags.writeable = False
    network = Network(CONFIG, start())
    for solver in solvers.names():
        expected = network.training_step(EVENTS, LABELS, solver=solver)[0]
        assert network.training_step(locked, LABELS, solver=solver)[0] == expected


def test_traces_of_somebody_else():
    events = EVENTS.to_raster()
    trace = minisnn.single_spike_forward(events, np.ones((6, 2)), np.zeros(2), 0.5)
    grad = np.ones((64, 20, 2))

    def refused(message, **change):
        with pytest.raises(InputError, match=re.escape(message)):
            minisnn.single_spike_backward(dataclasses.replace(trace, **change), grad, solver="numba-parallel")

    refused("first_spikes of trace must be the first steps", first_spikes=trace.spike_times + 10**6)
    refused("first_spikes of trace must be the first steps", first_spikes=trace.spike_times[:3])
    refused("the potential of trace must have shape (64, 20, 2)", potential=trace.potential[:, :, :1])
    refused("the potential of trace must be finite", potential=np.full((64, 20, 2), np.nan))
    refused("weight must have shape (n_in, n_out)", weight=np.ones(2))
    refused("the threshold of trace must be a number", threshold="1")
    refused("spikes must be 0 or 1", input=events * 2)
    with pytest.raises(InputError, match="first_spikes"):
        minisnn.single_spike_backward(
            pickle.loads(pickle.dumps(dataclasses.replace(trace, first_spikes=trace.spike_times - 1))), grad
        )


def test_activities_of_somebody_else():
    network, other = Network(CONFIG, start()), Network.random(NetworkConfig((6, 64, 5, 3)), 1)
    grad = np.ones((64, 3), np.float32)
    activity = network.forward(EVENTS)
    for made, message in (
        (other.forward(EVENTS), "activity must be of a network of sizes (6, 64, 3)"),
        (Activity([], activity.readout), "activity must be of a network of sizes"),
        (Activity(activity.hidden, network.forward(EVENTS[:5]).readout), "and one batch"),
        (Activity(activity.hidden, activity.hidden[0]), "must be a ReadoutTrace, got Trace"),
        (activity.readout, "activity must be a Activity"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            network.backward(made, grad)
    for wrong in (
        grad.T.copy(),
        grad.astype(float),
        np.full_like(grad, np.inf),
        grad.astype(complex),
        [[1.0]],
    ):
        with pytest.raises(InputError, match="grad_logits must"):
            network.backward(activity, wrong, solver="numba-parallel")


def test_an_optimiser_asks_for_arrays_that_it_can_change():
    for array in (
        np.zeros((4, 8))[:, ::2],
        np.zeros((64, 4)).T,
        np.zeros(4, ">f8"),
        np.broadcast_to(0.0, (4,)),
    ):
        adam = Adam({"a.weight": array}, solver=solvers.get("numba-parallel"))
        with pytest.raises(InputError, match="a.weight is changed in place"):
            adam.step({"a.weight": np.ones(array.shape)}, 0.1)
    adam = Adam({"a.weight": np.zeros((64, 4))}, solver=solvers.get("numba-parallel"))
    for gradient in (np.ones((4, 64)), np.ones((64, 4), np.float32), None):
        with pytest.raises(InputError, match="a.weight"):
            adam.step({"a.weight": gradient}, 0.1)
    for wrong in ([np.ones((64, 4))], None):
        with pytest.raises(InputError, match="gradients must be a dict"):
            adam.step(wrong, 0.1)
        with pytest.raises(InputError, match="parameters must be a dict"):
            Adam(wrong)
    for lr in ("0.1", np.nan, -1.0):
        with pytest.raises(InputError, match="lr must be a"):
            adam.step({"a.weight": np.ones((64, 4))}, lr)
    assert adam.steps == 0


@pytest.mark.parametrize("wrong", [LABELS + 1, LABELS - 1, np.full(64, 9)])
def test_labels_beyond_the_classes_are_refused_in_every_part(wrong):
    network, part = Network(CONFIG, start()), EventSamples(EVENTS, LABELS)
    odd = EventSamples.__new__(EventSamples)
    object.__setattr__(odd, "spikes", EVENTS)
    object.__setattr__(odd, "labels", wrong)
    with pytest.raises(InputError, match="labels of samples must lie in 0 ... 2"):
        minisnn.evaluate(network, odd)
    for name in ("train", "validation", "test"):
        parts = dataset(validation=part)
        object.__setattr__(parts, name, odd)
        before = network.parameters["hidden1.weight"].copy()
        with pytest.raises(InputError, match=f"labels of the {name} part of own must lie in 0 ... 2"):
            minisnn.train(network, parts, HOW)
        assert np.array_equal(network.parameters["hidden1.weight"], before)
    with pytest.raises(InputError, match="labels must lie in 0 ... 2"):
        softmax_cross_entropy(np.zeros((64, 3)), wrong)


def test_samples_that_are_not_what_they_say():
    class Odd:
        labels = LABELS.tolist()

        def __init__(self, batch):
            self.batch = lambda indices, rng=None: batch(EVENTS[indices])

        def __len__(self):
            return 64

    network = Network(CONFIG, start())
    expected = minisnn.evaluate(network, EventSamples(EVENTS, LABELS))
    assert minisnn.evaluate(network, Odd(lambda events: events.to_raster(np.float16))) == expected
    for batch, message in (
        (lambda events: events[:-1], "batch() must return the 64 samples asked for, got 63"),
        (lambda events: events.to_raster()[:, :, :5], "spikes must have shape (batch, time, 6), got"),
        (lambda events: [1, 2], "spikes must have shape (batch, time, neuron), got (2,)"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            minisnn.evaluate(network, Odd(batch))
    for wrong in ((EVENTS, LABELS), None, EVENTS, 5):
        with pytest.raises(InputError, match="samples must be samples, got"):
            minisnn.evaluate(network, wrong)
        with pytest.raises(InputError, match="dataset must be a Dataset, got"):
            minisnn.train(network, wrong, HOW)
    for wrong in ({"run": "folder"}, {"on_epoch": 5}):
        with pytest.raises(InputError, match="must be a"):
            minisnn.train(network, dataset(), HOW, **wrong)


def test_a_training_that_diverges_says_so():
    network = Network(CONFIG, start())
    with pytest.raises(OverflowError, match=r"lower lr|left the range"):
        minisnn.train(network, dataset(), dataclasses.replace(HOW, lr=1e38))


GOOD = [
    ("logit_scale", np.float32(0.05)),
    ("surrogate_scale", np.int64(10)),
    ("threshold", np.array(1.0)),
    ("threshold", np.array([2.0])),
    ("threshold", Fraction(1, 2)),
    ("threshold", np.longdouble(1)),
    ("hidden_decay", np.exp(np.float32(-0.1))),
    ("readout_decay", np.array(0.5, ">f4")),
    ("learn_decay", np.bool_(False)),
    ("detach_reset", np.array([True])),
    ("dtype", np.dtype("float32")),
    ("dtype", np.float64),
    ("readout", np.str_("max")),
    ("gradient", np.array("gated")),
    ("sizes", np.array([6, 64, 3], np.uint8)),
    ("sizes", [np.int64(6), 64, 3]),
    ("hidden_gain", 2),
    ("epochs", np.int64(3)),
    ("batch_size", np.array([32])),
    ("seed", np.uint64(2**63)),
    ("lr", np.float32(1e-2)),
    ("milestones", np.array([0.25, 0.5], np.float32)),
    ("weight_decay", np.array([0])),
    ("solver", np.str_("numpy-parallel")),
]


@pytest.mark.parametrize(("name", "value"), GOOD, ids=lambda v: v if isinstance(v, str) else type(v).__name__)
def test_a_configuration_can_be_written_and_read_back_equal(name, value, tmp_path):
    kind = NetworkConfig if name in NetworkConfig.__dataclass_fields__ else TrainingConfig
    config = kind(**({"sizes": (6, 64, 3)} if kind is NetworkConfig else {}) | {name: value})
    assert kind(**json.loads(json.dumps(dataclasses.asdict(config)))) == config
    for kept in dataclasses.asdict(config).values():
        assert type(kept) in (int, float, bool, str, tuple)
    if kind is NetworkConfig:
        Network.random(config).save(tmp_path / "network.npz")
        assert Network.load(tmp_path / "network.npz").config == config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("logit_scale", "threshold", "hidden_decay", "lr", "weight_decay")
          for value in ("0.5", b"1", None, True, 1 + 0j, np.complex64(1), np.ma.masked, np.nan, 10**400,
                        np.timedelta64(1, "s"), object(), [0.5], np.array([1, 2]))),
        *((name, value) for name in ("epochs", "batch_size", "seed")
          for value in (3.0, "3", True, None, np.float32(3), np.array([1, 2]), np.timedelta64(3, "ns"), -1)),
        *((name, value) for name in ("learn_decay", "detach_reset")
          for value in ("no", None, 2, 1.0, np.array([0, 1]))),
        *((name, value) for name in ("readout", "gradient", "neuron", "solver", "schedule", "dtype")
          for value in (None, 1, [], {}, "x" * 500, np.array(["max", "sum"]))),
        *(("sizes", value) for value in (5, "643", (6, 64.0, 3), (6, True, 3), (6, 3), (6, 0, 3), None)),
        *(("milestones", value) for value in (5, "0.5", (0.5, "1"), (0.5, np.nan), (), (0.7, 0.2))),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused_with_the_field_s_name(name, value):
    kind = NetworkConfig if name in NetworkConfig.__dataclass_fields__ else TrainingConfig
    with pytest.raises(InputError) as caught:
        kind(**({"sizes": (6, 64, 3)} if kind is NetworkConfig else {}) | {name: value})
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_arguments_of_the_layers():
    x, w, b = EVENTS.to_raster(), np.ones((6, 2)), np.zeros(2)
    trace = minisnn.multi_spike_forward(x, w, b, np.float32(0.5).astype(">f8"), threshold=np.array([2]))
    assert trace.threshold == 2.0
    assert type(trace.threshold) is float
    grad = np.ones((64, 20, 2))
    detached = minisnn.multi_spike_backward(trace, grad, detach_reset=np.bool_(True))
    assert np.array_equal(
        detached.weight, minisnn.multi_spike_backward(trace, grad, detach_reset=True).weight
    )
    for call in (
        lambda: minisnn.multi_spike_backward(trace, grad, detach_reset="yes"),
        lambda: minisnn.single_spike_forward(x, w, b, 0.5, threshold="1"),
        lambda: minisnn.single_spike_forward(x, w, b, 0.5, solver=["numpy-parallel"]),
        lambda: minisnn.single_spike_forward(x, w, b, 10**400),
        lambda: minisnn.single_spike_forward(x, w.astype(complex), b, 0.5),
        lambda: minisnn.single_spike_forward(x.astype(complex), w, b, 0.5),
        lambda: minisnn.single_spike_forward([EVENTS, EVENTS], w, b, 0.5),
        lambda: minisnn.single_spike_forward(np.ma.array(x, mask=x == 1), w, b, 0.5),
        lambda: minisnn.single_spike_forward([np.ma.array(x[0], mask=x[0] == 1)], w, b, 0.5),
        lambda: minisnn.single_spike_forward([[1, [2]]], w, b, 0.5),
        lambda: minisnn.single_spike_forward(None, w, b, 0.5),
        lambda: minisnn.single_spike_forward(x, w, np.ma.masked_equal(b, 0), 0.5),
        lambda: minisnn.single_spike_forward(x, w, b, np.ma.masked),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_readers_by_hand():
    assert checked_float("x", np.array([[0.5]])) == 0.5
    assert checked_count("x", np.array([[3]], ">u2")) == 3
    assert checked_flag("x", 1) is True
    assert checked_name("x", np.array("max"), ("max",)) == "max"
