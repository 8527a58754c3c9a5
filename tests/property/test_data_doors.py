"""Whatever form an array comes in, the data sets take it as its values, or refuse it, and leave it as it was."""

import copy
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisnn import SpikeEvents, datasets
from minisnn.datasets import Dataset, EventSamples, ImageSamples, Subset
from minisnn.errors import InputError
from tests.disguises import INTEGER_DTYPES, disguises
from tests.helpers import one_line

INTEGERS, FLOATS, BYTES = INTEGER_DTYPES, ("f2", "f4", "f8", "g"), ("u1",)


def series(array):
    """A Series or DataFrame whose index would put the rows into another order."""
    pandas = pytest.importorskip("pandas")
    index = np.random.default_rng(0).permutation(len(array))
    return pandas.Series(array, index=index) if array.ndim == 1 else pandas.DataFrame(array, index=index)


@st.composite
def handed_over(draw, values, dtypes, lists):
    """`values` as somebody hands them over, and a function that shows that they were left as they were."""
    if values.dtype.kind in "iu" and values.max() > 127:
        dtypes = tuple(dtype for dtype in dtypes if dtype != "i1")
    others = [list, tuple] * lists + [series] * (values.ndim < 3)
    kind = draw(st.sampled_from([*others, *["array"] * 9]))
    if kind == "array":
        return draw(disguises(dtypes))(values)
    argument = series(values) if kind is series else kind(values.tolist())
    before = copy.deepcopy(argument)
    return argument, lambda: argument.equals(before) if kind is series else argument == before


def events():
    return SpikeEvents.from_spike_times(np.arange(24).reshape(6, 4) % 7, 7)


LABELS = np.array([0, 2, 1, 1, 0, 2])
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 3, 4), dtype=np.uint8)
RASTER = np.random.default_rng(1).integers(0, 2, (3, 5, 4))
TIMES = np.array([[0, 3, 100], [99, 5, 7]])
CHOSEN = np.array([4, 0, 2])
RECORDED = np.array([0, 0, 7, 34, 100])


def spikes_of(made):
    return made.indptr, made.indices, made.shape, made.counts


def encoded(times, neurons):
    recordings = [(times, neurons, "r"), (times, np.arange(5), "s")]
    return spikes_of(datasets.encode_recordings(recordings, 9, n_steps=6, dt=0.02, counts=True))


def labelled(labels):
    """Everything that holds labels: what it gives out, and how it splits."""
    parts = [EventSamples(events(), labels), ImageSamples(IMAGES, labels, 7)]
    parts += [Subset(part, CHOSEN) for part in parts]
    whole = Dataset("own", parts[0], parts[2], 4, 3, 7)
    parted = [datasets.split(whole, 3), *datasets.folds(whole, 2)]
    parts += [part for data in parted for part in (data.train, data.validation)]
    assert all(part.labels.dtype == np.int64 and part.labels.flags.c_contiguous for part in parts)
    return [part.labels for part in parts]


def chosen(indices):
    """Every way to choose samples by number."""
    parts = [EventSamples(events(), LABELS), ImageSamples(IMAGES, LABELS, 7)]
    made = [events()[np.asarray(indices) if isinstance(indices, tuple) else indices]]
    made += [part.batch(indices) for part in parts]
    made += [Subset(part, np.arange(6)[::-1]).batch(indices) for part in parts]
    made += [Subset(part, indices).batch(np.arange(2)) for part in parts]
    return [spikes_of(one) for one in made]


# Of every argument: the function, its values, and the dtypes in which it is taken.
DOORS = {
    "SpikeEvents, indptr": (
        lambda a: spikes_of(SpikeEvents(a, events().indices, 7, 4)), events().indptr, INTEGERS),
    "SpikeEvents, indices": (
        lambda a: spikes_of(SpikeEvents(events().indptr, a, 7, 4)), events().indices, INTEGERS),
    "from_raster": (lambda a: spikes_of(SpikeEvents.from_raster(a)), RASTER, ("?", *INTEGERS, *FLOATS)),
    "from_raster, counts": (
        lambda a: spikes_of(SpikeEvents.from_raster(a, counts=True)), 3 * RASTER, INTEGERS + FLOATS),
    "from_spike_times": (lambda a: spikes_of(SpikeEvents.from_spike_times(a, 100)), TIMES, INTEGERS),
    "from_spike_times, seldom": (
        lambda a: spikes_of(SpikeEvents.from_spike_times(a, 70_000)), TIMES, INTEGERS),
    "from_lists": (
        lambda a: spikes_of(SpikeEvents.from_lists(a, a, a, (5, 6, 7))), CHOSEN, INTEGERS),
    "from_lists, shape": (
        lambda a: spikes_of(SpikeEvents.from_lists([0], [1], [2], a)), np.array([1, 4, 5]), INTEGERS),
    "labels": (labelled, LABELS, INTEGERS),
    "indices": (chosen, CHOSEN, INTEGERS),
    "images": (
        lambda a: spikes_of(ImageSamples(a, LABELS, 7).batch(CHOSEN)), IMAGES, BYTES),
    "augment_images": (
        lambda a: datasets.augment_images(a, ["flip", "shift", "noise", "drop"], np.random.default_rng(0)),
        IMAGES, BYTES),
    "encode_recordings, times": (lambda a: encoded(a, [0, 1, 2, 8, 3]), RECORDED, INTEGERS + FLOATS),
    "encode_recordings, neurons": (
        lambda a: encoded(RECORDED, a), np.array([0, 1, 2, 3, 8]), INTEGERS),
    "latency_linear": (
        lambda a: [datasets.latency_linear(a, 9)], np.array([[0, 0.25], [1, 0.5]]), FLOATS),
    "latency_log": (lambda a: [datasets.latency_log(a, 99)], IMAGES, BYTES),
    "pixel_times": (lambda a: [datasets.pixel_times(a, 99, "sparse")], IMAGES, BYTES),
    "threshold_crossings, series": (
        lambda a: spikes_of(datasets.threshold_crossings(a, [1, 4])), 3 * RASTER, INTEGERS + FLOATS),
    "threshold_crossings, thresholds": (
        lambda a: spikes_of(datasets.threshold_crossings(3 * RASTER, a)), np.array([1, 4]), INTEGERS + FLOATS),
    "encode_events": (
        lambda a: spikes_of(datasets.encode_events(a, lambda x: np.asarray(x, "i4"), 100)), TIMES, INTEGERS),
}  # fmt: skip


def the_same(one, other):
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.flags.c_contiguous == other.flags.c_contiguous
        assert np.array_equal(one, other)
    elif isinstance(one, list | tuple):
        for a, b in zip(one, other, strict=True):
            the_same(a, b)
    else:
        assert (type(one), one) == (type(other), other)


@pytest.mark.parametrize("door", list(DOORS))
@given(data=st.data())
def test_every_form_of_an_array_is_its_values(door, data):
    call, values, dtypes = DOORS[door]
    lists = dtypes != BYTES  # bytes in a list are integers of 64 bits
    argument, unchanged = data.draw(handed_over(np.array(values), dtypes, lists))
    the_same(call(argument), call(np.array(values)))
    assert unchanged()


WRONG = {
    "masked": lambda a: np.ma.array(a, mask=a == a.flat[-1]),
    "complex": lambda a: a + 1j,
    "text": lambda a: a.astype(str),
    "durations": lambda a: a.astype("m8[s]"),
    "records": lambda a: np.zeros(a.shape, [("a", int)]),
    "NaN": lambda a: np.where(a == a.flat[-1], np.nan, a),
    "halves": lambda a: a.astype(float) + 0.5,
    "ragged": lambda a: [[1], [1, 2]],
    "none": lambda a: None,
    "events": lambda a: events(),
}


@pytest.mark.parametrize(
    "door", [door for door in DOORS if door != "encode_events"]
)  # takes what its function does
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_such_array_is_refused_in_one_line(door, wrong):
    call, values, dtypes = DOORS[door]
    if wrong == "halves" and dtypes[-1] == "g":
        return  # real numbers are taken here
    with one_line(InputError):
        call(WRONG[wrong](np.array(values)))


NUMBERS = {
    "SpikeEvents, n_steps": lambda n: SpikeEvents([0] * 8, [], n, 3).n_steps,
    "SpikeEvents, n_neurons": lambda n: SpikeEvents([0] * 8, [], 7, n).n_neurons,
    "from_spike_times": lambda n: SpikeEvents.from_spike_times([[3]], n).n_steps,
    "from_lists": lambda n: SpikeEvents.from_lists([], [], [], (1, n, 3)).n_steps,
    "Dataset, n_inputs": lambda n: whole(n_inputs=n).n_inputs,
    "Dataset, n_classes": lambda n: whole(n_classes=n).n_classes,
    "Dataset, n_steps": lambda n: whole(n_steps=n).n_steps,
    "ImageSamples": lambda n: ImageSamples(IMAGES, LABELS, n).n_steps,
    "encode_recordings, n_steps": lambda n: recorded(n_steps=n).n_steps,
    "encode_recordings, n_neurons": lambda n: recorded(n_neurons=n).n_neurons,
    "latency_linear": lambda n: int(datasets.latency_linear([0.0], n)[0]) + 1,
    "latency_log": lambda n: int(datasets.latency_log(np.zeros(1, np.uint8), n)[0]),
    "pixel_times": lambda n: int(datasets.pixel_times(np.zeros(1, np.uint8), n, "sparse")[0]),
    "yin_yang": lambda n: len(datasets.yin_yang(n, 1)[0]),
    "load_dataset, n_steps": lambda n: yin_yang(2, n_steps=n).n_steps,
    "load_dataset, samples": lambda n: len(yin_yang(n).train),
    "load_dataset, test samples": lambda n: len(yin_yang(2, test_samples=n).test),
    "split": lambda n: len(datasets.split(whole(8), n).validation),
    "folds": lambda n: len(datasets.folds(whole(7), n)),
    "encode_events": lambda n: datasets.encode_events(np.ones((2, 3), int), lambda x: x, n).n_steps,
}


def whole(n_samples=1, n_inputs=7, n_classes=7, n_steps=7):
    part = EventSamples(
        SpikeEvents.from_spike_times(np.zeros((n_samples, 7), int), 7), np.zeros(n_samples, int)
    )
    return Dataset("own", part, part, n_inputs, n_classes, n_steps)


def yin_yang(train_samples, **options):
    return datasets.load_dataset("yin-yang", **{"test_samples": 1} | options, train_samples=train_samples)


def recorded(n_neurons=7, n_steps=7):
    return datasets.encode_recordings([([0, 1500], [0, 1], "r")], n_neurons, n_steps=n_steps, dt=1)


@pytest.mark.parametrize("door", list(NUMBERS))
def test_numbers_of_numpy_become_those_of_python(door):
    for kind in INTEGERS:
        for seven in (np.dtype(kind).type(7), np.array(7, kind), np.array([7], kind)):
            came = NUMBERS[door](seven)
            assert (type(came), came) == (int, 7)


@pytest.mark.parametrize("door", list(NUMBERS))
@pytest.mark.parametrize(
    "wrong", [7.0, np.float32(7), True, "7", None, [7], np.array([7, 7]), 0, -7, 2**70], ids=repr
)
def test_what_is_no_number_is_refused_in_one_line(door, wrong):
    default = wrong is None and "load_dataset" in door
    as_many_as_asked_for = isinstance(wrong, int) and wrong == 2**70 and door == "yin_yang"
    if default or as_many_as_asked_for:
        return
    with one_line(InputError):
        NUMBERS[door](wrong)


def part(labels=LABELS, spikes=None):
    return EventSamples(events() if spikes is None else spikes, labels)


@pytest.mark.parametrize("name", ["train", "test", "validation"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: part(LABELS + 1), r"labels of the {} part must lie in 0 \.\.\. 2, got 1 \.\.\. 3"),
        (lambda: part(LABELS[:0], events()[:0]), "the {} part must have at least one sample, got none"),
        (lambda: part(LABELS[:2], SpikeEvents.from_spike_times(TIMES, 100)),
         "the {} part must have 7 steps and 4 inputs, got 100 and 3"),
        (lambda: ImageSamples(IMAGES, LABELS, 7), "7 steps and 4 inputs, got 7 and 12"),
        (lambda: (events(), LABELS),
         r"the {} part must be samples, got tuple; EventSamples\(spikes, labels\) makes them"),
        (events, "the {} part must be samples, got SpikeEvents"),
    ],
)  # fmt: skip
def test_every_part_of_a_data_set_fits_it(name, wrong, message):
    parts = {"train": part(), "test": part()} | {name: wrong()}
    with one_line(InputError, message.format(name)):
        Dataset("own", **parts, n_inputs=4, n_classes=3, n_steps=7)


def test_labels_of_samples_made_by_somebody_else_are_read_by_place():
    pandas = pytest.importorskip("pandas")

    class Own:
        labels = pandas.Series(LABELS, index=[5, 4, 3, 2, 1, 0])

        def __len__(self):
            return 6

        def batch(self, indices, rng=None):
            return events()[indices]

    assert Subset(Own(), [0, 1]).labels.tolist() == [0, 2]
    data = datasets.split(Dataset("own", Own(), Own(), 4, 3, 7), 3)
    assert np.array_equal(data.train.labels, LABELS[data.train.indices])


@pytest.mark.parametrize(
    "call",
    [
        partial(EventSamples, RASTER, LABELS[:3]),
        partial(EventSamples, [events()], LABELS),
        partial(EventSamples, events(), LABELS > 0),
        partial(EventSamples, events(), LABELS.astype(float)),
        partial(datasets.split, whole(8), 2, seed=-1),
        partial(datasets.folds, whole(8), 2, seed=0.5),
        partial(datasets.augment_images, IMAGES, "flop", np.random.default_rng(0)),
        partial(datasets.augment_images, IMAGES, "flip", 0),
        partial(datasets.augment_images, IMAGES[0], "flip", np.random.default_rng(0)),
    ],
)
def test_other_arguments_are_refused_in_one_line(call):
    with one_line(InputError):
        call()


def test_a_single_augmentation_needs_no_list():
    rng = np.random.default_rng
    assert np.array_equal(
        datasets.augment_images(IMAGES, "shift", rng(0)), datasets.augment_images(IMAGES, ["shift"], rng(0))
    )
    assert ImageSamples(IMAGES, LABELS, 7, augment="shift").augment == ("shift",)
