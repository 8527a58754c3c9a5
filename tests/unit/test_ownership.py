"""Who owns an array, and what happens to what is handed over, assigned or changed behind minisnn's back."""

import dataclasses
import pickle
import re
from functools import partial

import numpy as np
import pytest

import minisnn
from minisnn import Network, NetworkConfig, SpikeEvents, TrainingConfig, solvers
from minisnn.datasets import Dataset, EventSamples
from minisnn.errors import InputError
from minisnn.loss import softmax_cross_entropy
from minisnn.network import Activity
from minisnn.training.optimiser import Adam
from tests.helpers import one_line, same_dict

CONFIG = NetworkConfig((6, 64, 3), logit_scale=0.05, hidden_gain=4.0)
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 64)
EVENTS = SpikeEvents.from_spike_times(
    np.clip(RNG.integers(0, 4, (64, 6)) + LABELS[:, None] * 5, 0, 20), n_steps=20
)
HOW = TrainingConfig(epochs=2, lr=1e-2, batch_size=32)


def dataset(**change):
    part = EventSamples(EVENTS, LABELS)
    return Dataset("own", part, part, 6, 3, 20, **change)


def start():
    return Network.random(CONFIG, 1).parameters


def trained(network, **change):
    minisnn.train(network, dataset(), dataclasses.replace(HOW, **change))
    return network


@pytest.fixture
def network():
    return Network(CONFIG, start())


def test_two_networks_of_one_dictionary_share_nothing():
    given = start()
    one, other = Network(CONFIG, given), Network(CONFIG, given)
    other.parameters = one.parameters  # nor after this
    trained(one)
    other.own_parameters()
    before = {name: array.copy() for name, array in one.parameters.items()}
    trained(other)
    same_dict(one.parameters, before)
    same_dict(given, start())


def test_a_network_keeps_its_dictionary_and_its_arrays(network):
    parameters, arrays = network.parameters, dict(network.parameters)
    network.forward(EVENTS)
    trained(network)
    assert network.parameters is parameters
    assert all(parameters[name] is array for name, array in arrays.items())


def test_parameters_mapped_from_a_file_by_joblib(tmp_path):
    joblib = pytest.importorskip("joblib")
    network, file = Network.random(NetworkConfig((6, 800, 3)), 1), tmp_path / "network.joblib"
    joblib.dump(network, file)
    mapped, before = joblib.load(file, mmap_mode="r"), file.read_bytes()
    same_dict(trained(mapped).parameters, trained(network).parameters)
    assert file.read_bytes() == before


def test_what_the_callback_assigns_is_what_is_trained(network):
    seen = []

    def clip(metrics):
        seen.append(metrics.epoch)
        for name, array in network.parameters.items():
            network.parameters[name] = np.asfortranarray(np.clip(array, 0, 0.01))

    minisnn.train(network, dataset(), HOW, on_epoch=clip)
    assert seen == [1, 2]
    assert max(array.max() for array in network.own_parameters().values()) <= np.float32(0.01)


# ---- parameters -------------------------------------------------------------------------------------

USES = {
    "forward": lambda network: network.forward(EVENTS),
    "predict": lambda network: network.predict(EVENTS),
    "training_step": lambda network: network.training_step(EVENTS, LABELS),
    "loss_and_gradients": lambda network: network.loss_and_gradients(EVENTS, LABELS),
    "train": trained,
    "evaluate": lambda network: minisnn.evaluate(network, dataset().test),
    "to_arrays": lambda network: network.to_arrays(),
}


@pytest.mark.parametrize("use", USES)
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
def test_what_is_assigned_is_checked_at_the_next_use(network, use, name, value, message):
    network.parameters[name] = value
    with one_line(InputError, re.escape(message)):
        USES[use](network)
    # Mended, the network goes on; nothing of it was changed.
    network.parameters = start()
    assert np.array_equal(network.forward(EVENTS).logits, Network(CONFIG, start()).forward(EVENTS).logits)


@pytest.mark.parametrize("use", ["forward", "predict", "training_step"])
def test_another_configuration_counts_at_the_next_use(network, use):
    network.predict(EVENTS)
    for change, message in (
        (
            {"sizes": (5000, 64, 3)},
            "hidden1.weight must be float32 of shape (5000, 64), got float32 of shape (6, 64)",
        ),
        ({"sizes": (6, 64, 4)}, "readout.weight must be float32 of shape (64, 4)"),
        ({"sizes": (6, 64, 5, 3)}, "missing or unknown: hidden2.bias"),
        ({"dtype": "float64"}, "hidden1.weight must be float64"),
        ({"learn_decay": False}, "hidden1.decay must be float32 of shape ()"),
    ):
        network.config = dataclasses.replace(CONFIG, **change)
        with one_line(InputError, re.escape(message)):
            USES[use](network)
    for wrong in (None, "config", (6, 64, 3)):
        with one_line(InputError, "config must be a NetworkConfig, got"):
            network.config = wrong
    network.config = dataclasses.replace(CONFIG, threshold=3.0)
    expected = Network(network.config, start()).predict(EVENTS).logits
    assert np.array_equal(network.predict(EVENTS).logits, expected)


def test_a_workspace_is_one(network):
    for call, *given in (
        (network.forward, EVENTS), (network.predict, EVENTS), (network.training_step, EVENTS, LABELS),
        (network.loss_and_gradients, EVENTS, LABELS),
        (network.backward, network.forward(EVENTS), np.ones((64, 3), np.float32)),
    ):  # fmt: skip
        with one_line(InputError, "workspace must be a Workspace, got {}"):
            call(*given, workspace={})


@pytest.mark.parametrize("use", ["forward", "predict", "training_step", "train", "evaluate"])
def test_not_a_number_in_place_is_seen_whoever_computes(network, use):
    USES[use](network)
    network.parameters["hidden1.weight"][2, 3] = np.nan
    with one_line(InputError, r"hidden1.weight must be finite, got nan at \(2, 3\)"):
        USES[use](network)


@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        *(("hidden1.weight", place, np.inf) for place in ((0, 0), (3, 40), (5, 63))),
        *(("readout.weight", place, -np.inf) for place in ((0, 0), (63, 2))),
        *((f"{layer}.bias", (-1,), np.nan) for layer in ("hidden1", "readout")),
        *((f"{layer}.decay", (-1,), x) for layer in ("hidden1", "readout") for x in (-0.1, 1.1, np.nan)),
    ],
)
def test_a_prediction_sees_every_number_that_cannot_be(network, batch, name, place, value):
    """Also one that no event would have read."""
    silent = SpikeEvents.from_raster(np.zeros((batch, 20, 6), bool))
    network.predict(silent)
    network.parameters[name][place] = value
    with one_line(InputError, f"{name} must"):
        network.predict(silent)


@pytest.mark.parametrize("use", ["forward", "predict", "training_step"])
@pytest.mark.parametrize("change", [{"shape": (64, 6)}, {"dtype": np.int32}])
@pytest.mark.filterwarnings("ignore:Setting the:DeprecationWarning")
def test_an_array_that_is_given_another_form_in_place_is_refused(network, use, change):
    network.predict(EVENTS)
    for attribute, value in change.items():
        setattr(network.parameters["hidden1.weight"], attribute, value)
    with one_line(InputError, re.escape("hidden1.weight must be float32 of shape (6, 64), got")):
        USES[use](network)


def test_an_optimiser_asks_for_arrays_that_it_can_change():
    compiled = solvers.get("numba-parallel")
    for array in (
        np.zeros((4, 8))[:, ::2], np.zeros((64, 4)).T, np.zeros(4, ">f8"), np.broadcast_to(0.0, (4,)),
    ):  # fmt: skip
        adam = Adam({"a.weight": array}, solver=compiled)
        with one_line(InputError, "a.weight is changed in place"):
            adam.step({"a.weight": np.ones(array.shape)}, 0.1)
    adam, ones = Adam({"a.weight": np.zeros((64, 4))}, solver=compiled), np.ones((64, 4))
    for call, message in [
        *((partial(adam.step, {"a.weight": g}, 0.1), "a.weight") for g in (ones.T, ones.astype("f4"), None)),
        *((partial(adam.step, wrong, 0.1), "gradients must be a dict") for wrong in ([ones], None)),
        *((partial(Adam, wrong), "parameters must be a dict") for wrong in ([ones], None)),
        *((partial(adam.step, {"a.weight": ones}, lr), "lr must be a") for lr in ("0.1", np.nan, -1.0)),
    ]:
        with one_line(InputError, message):
            call()
    assert adam.steps == 0


# ---- events, traces and activities ------------------------------------------------------------------


@pytest.mark.parametrize(
    "attack", [lambda e: e.indices.fill(10**6), lambda e: e.indptr.fill(10**9), lambda e: e.indices.fill(-5)]
)
def test_events_changed_after_they_were_made(network, attack):
    events = SpikeEvents(EVENTS[:4].indptr, EVENTS[:4].indices, 20, 6)
    layer = events, np.ones((6, 2)), np.zeros(2), 0.5
    trace = minisnn.single_spike_forward(*layer, solver="numba-parallel")
    activity = network.forward(events)
    attack(events)
    for use in (
        partial(minisnn.single_spike_forward, *layer),
        partial(minisnn.single_spike_backward, trace, np.ones((4, 20, 2)), solver="numba-parallel"),
        partial(network.forward, events, solver="numba-parallel"),
        partial(network.backward, activity, np.ones((4, 3), np.float32)),
    ):
        with one_line(InputError, "changed after they were made"):
            use()


def test_events_that_are_mapped_from_a_file_or_locked(network):
    locked = SpikeEvents(EVENTS.indptr, EVENTS.indices, 20, 6)
    for array in (locked.indptr, locked.indices):
        array.flags.writeable = False
    for solver in solvers.names():
        expected = network.training_step(EVENTS, LABELS, solver=solver)[0]
        assert network.training_step(locked, LABELS, solver=solver)[0] == expected


def test_traces_of_somebody_else():
    trace = minisnn.single_spike_forward(EVENTS.to_raster(), np.ones((6, 2)), np.zeros(2), 0.5)
    grad, times = np.ones((64, 20, 2)), trace.spike_times
    for change, message in [
        ({"first_spikes": times + 10**6}, "first_spikes of trace must be the first steps"),
        ({"first_spikes": times[:3]}, "first_spikes of trace must be the first steps"),
        ({"potential": trace.potential[:, :, :1]}, "the potential of trace must have shape (64, 20, 2)"),
        ({"potential": np.full((64, 20, 2), np.nan)}, "the potential of trace must be finite"),
        ({"weight": np.ones(2)}, "weight must have shape (n_in, n_out)"),
        ({"threshold": "1"}, "the threshold of trace must be a number"),
        ({"input": EVENTS.to_raster() * 2}, "spikes must be 0 or 1"),
    ]:
        with one_line(InputError, re.escape(message)):
            minisnn.single_spike_backward(dataclasses.replace(trace, **change), grad, solver="numba-parallel")
    unpickled = pickle.loads(pickle.dumps(dataclasses.replace(trace, first_spikes=times - 1)))
    with one_line(InputError, "first_spikes"):
        minisnn.single_spike_backward(unpickled, grad)


def test_activities_of_somebody_else(network):
    other = Network.random(NetworkConfig((6, 64, 5, 3)), 1)
    grad = np.ones((64, 3), np.float32)
    activity = network.forward(EVENTS)
    for made, message in (
        (other.forward(EVENTS), "activity must be of a network of sizes (6, 64, 3)"),
        (Activity([], activity.readout), "activity must be of a network of sizes"),
        (Activity(activity.hidden, network.forward(EVENTS[:5]).readout), "and one batch"),
        (Activity(activity.hidden, activity.hidden[0]), "must be a ReadoutTrace, got Trace"),
        (activity.readout, "activity must be a Activity"),
    ):
        with one_line(InputError, re.escape(message)):
            network.backward(made, grad)
    infinite = np.full_like(grad, np.inf)
    for wrong in (grad.T.copy(), grad.astype(float), infinite, grad.astype(complex), [[1.0]]):
        with one_line(InputError, "grad_logits must"):
            network.backward(activity, wrong, solver="numba-parallel")


# ---- samples ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [LABELS + 1, LABELS - 1, np.full(64, 9)])
def test_labels_beyond_the_classes_are_refused_in_every_part(network, wrong):
    odd = EventSamples.__new__(EventSamples)
    object.__setattr__(odd, "spikes", EVENTS)
    object.__setattr__(odd, "labels", wrong)
    with one_line(InputError, "labels of samples must lie in 0 ... 2"):
        minisnn.evaluate(network, odd)
    for name in ("train", "validation", "test"):
        parts = dataset(validation=EventSamples(EVENTS, LABELS))
        object.__setattr__(parts, name, odd)
        with one_line(InputError, f"labels of the {name} part of own must lie in 0 ... 2"):
            minisnn.train(network, parts, HOW)
        same_dict(network.parameters, start())
    with one_line(InputError, "labels must lie in 0 ... 2"):
        softmax_cross_entropy(np.zeros((64, 3)), wrong)


def test_samples_that_are_not_what_they_say(network):
    class Odd:
        labels = LABELS.tolist()

        def __init__(self, batch):
            self.batch = lambda indices, rng=None: batch(EVENTS[indices])

        def __len__(self):
            return 64

    expected = minisnn.evaluate(network, EventSamples(EVENTS, LABELS))
    assert minisnn.evaluate(network, Odd(lambda events: events.to_raster(np.float16))) == expected
    evaluate, train = partial(minisnn.evaluate, network), partial(minisnn.train, network)
    for call, message in [
        (lambda: evaluate(Odd(lambda e: e[:-1])), "batch() must return the 64 samples asked for, got 63"),
        (lambda: evaluate(Odd(lambda e: e.to_raster()[:, :, :5])), "must have shape (batch, time, 6), got"),
        (lambda: evaluate(Odd(lambda e: [1, 2])), "must have shape (batch, time, neuron), got (2,)"),
        *(
            (partial(call, wrong, *more), message)
            for wrong in ((EVENTS, LABELS), None, EVENTS, 5)
            for call, more, message in (
                (evaluate, (), "samples must be samples, got"),
                (train, (HOW,), "dataset must be a Dataset, got"),
            )
        ),
        (lambda: train(dataset(), HOW, run="folder"), "must be a"),
        (lambda: train(dataset(), HOW, on_epoch=5), "must be a"),
    ]:
        with one_line(InputError, re.escape(message)):
            call()
