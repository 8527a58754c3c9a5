"""Pictures: legends cover and repeat nothing, curves are drawn whole, and the budget is told."""

import dataclasses
import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from minisnn import Network, NetworkConfig, SpikeEvents, load_dataset
from minisnn.bench.grid import Cell
from minisnn.bench.scaling import Series
from minisnn.bench.step import StepLine
from minisnn.bench.timing import Contestant
from minisnn.datasets import Dataset, EventSamples
from minisnn.reproduce.comparison import Comparison, Speed
from minisnn.reproduce.published import Published
from minisnn.training.metrics import EpochMetrics

pytest.importorskip("matplotlib", reason="needs matplotlib")
from matplotlib.backends.backend_agg import FigureCanvasAgg

from minisnn.bench import pictures as bench
from minisnn.reproduce import pictures as reproduce
from minisnn.training import colours, plotting, sweep_pictures

SIZES = {
    "yin-yang": (4, 3),
    "fashion-mnist": (784, 10),
    "nmnist": (1156, 10),
    "shd": (700, 20),
    "own": (9, 2),
}


def data_of(name):
    """Two samples in the form of a data set."""
    if name == "yin-yang":
        return load_dataset(name, n_steps=20, train_samples=60, test_samples=60)
    n_in, n_classes = SIZES[name]
    times = np.random.default_rng(0).integers(0, 21, (2, n_in))
    samples = EventSamples(SpikeEvents.from_spike_times(times, 20), np.array([0, 1]))
    names = ("left", "right") if name == "own" else ()
    return Dataset(name, samples, samples, n_in, n_classes, 20, class_names=names)


def network_of(data, neuron="single-spike", **options):
    sizes = (data.n_inputs, 12, data.n_classes)
    return Network.random(NetworkConfig(sizes, neuron, hidden_gain=4.0, **options))


def metrics(epoch, validation, spikes):
    return EpochMetrics(epoch, 1 / epoch, 1.0, validation, 0.9, sum(spikes), spikes, (0,), (0,), 1e-3, 1.0)


def comparison(recipe, single, multi):
    common = {"validation_accuracy": None, "seconds_per_epoch": 1.0, "epochs": [{}] * 7}
    outcomes = {
        neuron: [{"test_accuracy": 0.5, "spikes_per_sample": spikes} | common]
        for neuron, spikes in (("single-spike", single), ("multi-spike", multi))
    }
    times = Speed((5.0, 4.0, 9.0), (50.0, 49.0, 60.0), (10.0, 9.0, 12.0))
    published = Published(81.0, 85.0, 83.0, 3.9)
    return Comparison("mnist", recipe, published, (784, 20, 10), 600, 100, 0, outcomes, times)


COMPARISONS = [comparison("v1", 15.0, 75.0), comparison("best", 30.0, 20.0)]
WAYS = [
    Contestant("numba-sequential", "multi-spike", "dense", 2, "conventional, stepped, dense"),
    Contestant("numba-parallel", "single-spike", "auto", 2, "single-spike, fused, events"),
]
STEPS = [
    StepLine(name, "v1", way, fault, 20.0, 9.0, 8.0, 12.0)
    for name in ("shd", "nmnist")
    for way, fault in zip(WAYS, (None, "differs" if name == "shd" else None))
]
CELLS = [
    Cell("dense", 32, n, t, 0.1, None, (t, t, 1.0, 0.1 * n)) for n in (5, 50) for t in (8, 64, 512)
]  # fmt: skip
SERIES = [
    Series(name, rule, "numba-parallel", axis, (1, 2), (9.0, 5.0), 0.9)
    for name in ("shd", "nmnist")
    for rule in ("v1", "v2")
    for axis in ("n_steps", "threads")
]


def figures():
    yield "curves", plotting.draw_learning_curves([metrics(k, 1.0, (0.0, 3.0)) for k in (1, 2, 3)])
    for name in SIZES:
        data = data_of(name)
        yield f"activity, {name}", plotting.draw_activity(network_of(data), data)
    yin_yang = data_of("yin-yang")
    yield "regions", plotting.draw_decision_regions(network_of(yin_yang), yin_yang)
    networks = {neuron: network_of(yin_yang, neuron) for neuron in colours.NEURONS}
    yield "snapshot", reproduce.draw_snapshot(networks, yin_yang)
    yield "bars", reproduce.draw_bars(COMPARISONS)
    points = [dataclasses.replace(one, spike_penalty=k / 1e3) for k, one in enumerate(COMPARISONS)]
    yield "curve", reproduce.draw_curve(points)
    swept = SimpleNamespace(over={"lr": [0.001, 0.1], "hidden": [[5], [9]]})
    settings = [
        {
            "lr": lr, "hidden": hidden, "finished": n, "validation_accuracy_mean": None, "test_accuracy_mean": 0.5,
            "test_accuracy_sd": 0.1, "spikes_per_sample_mean": 9.0 * n, "spikes_per_sample_sd": None,
        }
        for n, (lr, hidden) in enumerate(itertools.product(*swept.over.values()), start=1)
    ]  # fmt: skip
    yield "sweep, options", sweep_pictures.draw_options(swept, settings)
    yield "sweep, spikes", sweep_pictures.draw_spikes(swept, settings)
    for name, results in (("step", STEPS), ("grid", CELLS), ("scaling", SERIES)):
        yield name, bench.DRAW[name](results, "2 repeats")


@pytest.fixture(scope="module")
def drawn():
    found = dict(figures())
    for figure in found.values():
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()  # legends and panels take their places
    return found


def legends(figure):
    return [axes.get_legend() for axes in figure.axes if axes.get_legend() is not None]


def test_legends_cover_nothing(drawn):
    for name, figure in drawn.items():
        boxes = [axes.get_window_extent() for axes in figure.axes]
        for legend in legends(figure):
            box = legend.get_window_extent().padded(-2)
            assert not any(box.overlaps(other) for other in boxes), name
            assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, name


def test_a_panel_repeats_no_entry_of_its_own(drawn):
    for name, figure in drawn.items():
        for legend in legends(figure):
            texts = [text.get_text() for text in legend.get_texts()]
            assert len(texts) == len(set(texts)), name


def test_curves_are_drawn_whole(drawn):
    for name, figure in drawn.items():
        for axes in figure.axes:
            low, high = axes.get_ylim()
            for line in axes.get_lines():
                values = np.asarray(line.get_ydata(), float)
                if line.get_transform() == axes.transData and line.get_clip_on():
                    inside = (values > min(low, high)) & (values < max(low, high)) | np.isnan(values)
                    assert inside.all(), (name, axes.get_ylabel())


def test_the_budget_is_told(drawn):
    assert "--quick" not in drawn["bars"].get_suptitle()
    for draw in (reproduce.draw_bars, reproduce.draw_curve):
        assert "--quick" in draw(COMPARISONS, quick=True).get_suptitle()
    assert drawn["curve"].get_suptitle() == "mnist, recipe v1: 600 samples, 7 epochs, 1 seed"
    labels = [text.get_text() for text in drawn["bars"].axes[0].get_xticklabels()]
    assert labels == [
        "v1, 784-20-10\n600 samples\n7 epochs, 1 seed",
        "best, 784-20-10\n600 samples\n7 epochs, 1 seed",
    ]
    for name in bench.DRAW:
        assert drawn[name].get_suptitle().endswith("2 repeats")
    for name in ("options", "spikes"):
        budget = "Mean and s.d. of trainings, 1 to 4 of each setting"
        assert drawn[f"sweep, {name}"].get_suptitle() == budget
    folds = dataclasses.replace(COMPARISONS[0], folds=5)
    assert reproduce._budget(folds) == "600 samples\n7 epochs, 5 folds"


def test_more_spikes_than_conventional_are_drawn_below_the_line(drawn):
    saved = drawn["bars"].axes[2]
    assert [bar.get_height() for bar in saved.patches] == pytest.approx([80, -50])
    assert saved.get_ylim()[0] < -50


@pytest.mark.parametrize("readout", ["sum", "max"])
def test_the_running_logits_end_as_the_logits_and_look_at_no_later_step(readout):
    data = data_of("shd")
    network = network_of(data, readout=readout, logit_scale=0.5, dtype="float64")
    activity = network.forward(data.test.spikes)
    running = plotting.running_logits(activity.readout)
    np.testing.assert_allclose(running[:, -1], activity.logits, rtol=1e-12)
    for step in (0, 7):
        membrane = activity.readout.membrane[:, : step + 1]
        upto = membrane.sum(axis=1) if readout == "sum" else membrane.max(axis=1)
        np.testing.assert_allclose(running[:, step], 0.5 * upto, rtol=1e-12)


def test_the_sample_itself_is_shown(drawn):
    """Beside the five panels: the image by its spike times, the number of events a pixel, the point; no series."""
    beside = {name: drawn[f"activity, {name}"].axes[0].child_axes for name in SIZES}
    assert {name: len(axes) for name, axes in beside.items()} == {
        "yin-yang": 1, "fashion-mnist": 1, "nmnist": 1, "shd": 0, "own": 0,
    }  # fmt: skip
    times = data_of("fashion-mnist").test.spikes.first_spike_times()[0]
    (image,) = beside["fashion-mnist"][0].images
    assert np.array_equal(image.get_array(), 20 - times.reshape(28, 28))
    (image,) = beside["nmnist"][0].images
    assert image.get_array().shape == (34, 34)
    (point,) = beside["yin-yang"][0].get_lines()
    first = data_of("yin-yang").test.batch(np.arange(1)).first_spike_times()[0]
    assert point.get_xydata()[0] == pytest.approx(1 - first[:2] / 19)


def test_own_data_of_a_known_name_are_own():
    data = dataclasses.replace(data_of("shd"), name="fashion-mnist", fingerprint="1f")
    assert not plotting.draw_activity(network_of(data), data).axes[0].child_axes


def test_classes_have_their_names(drawn):
    panels = drawn["activity, own"].axes
    assert panels[0].get_title().startswith("One test sample of class left, classified as ")
    (entry, *_) = panels[3].get_legend().get_texts()
    assert entry.get_text().startswith("left, ")


def test_both_polarities_are_one_image():
    events = SpikeEvents.from_lists(
        np.zeros(3, int), np.array([0, 1, 1]), np.array([5, 5 + 34 * 34, 7]), (1, 3, 2312)
    )
    samples = EventSamples(events, np.array([0]))
    data = Dataset("nmnist", samples, samples, 2312, 2, 3)
    figure = plotting.draw_activity(network_of(data), data)
    (image,) = figure.axes[0].child_axes[0].images
    assert image.get_array()[0, 4:9].tolist() == [0, 2, 0, 1, 0]
