"""The pictures of a sweep: where its points lie, with which error bars, and how its axes are divided."""

import pytest

pytest.importorskip("matplotlib", reason="needs the extra plot")

from minisnn.training.sweep import Sweep
from minisnn.training.sweep_pictures import draw_options, draw_spikes


def entry(accuracy, sd, spikes, validation=None, **values):
    moments = {
        "test_accuracy_mean": accuracy, "test_accuracy_sd": sd, "validation_accuracy_mean": validation,
        "validation_accuracy_sd": None, "spikes_per_sample_mean": spikes, "spikes_per_sample_sd": 2.0,
    }  # fmt: skip
    return values | moments | {"finished": 3}


OVER = {"hidden": [[100], [10], [1000]], "readout": ["sum", "max"]}
SETTINGS = [
    entry(0.5 + 0.1 * k + 0.01 * j, 0.01, 10.0 * k, hidden=hidden, readout=readout)
    for k, hidden in enumerate(OVER["hidden"])
    for j, readout in enumerate(OVER["readout"])
]


def test_every_option_has_a_panel_and_every_combination_of_the_others_a_line():
    hidden, readout = draw_options(Sweep(OVER, []), SETTINGS).axes
    assert hidden.get_xscale() == "log"
    assert hidden.get_ylabel() == "test accuracy (%)"
    assert [text.get_text() for text in hidden.get_legend().get_texts()] == ["readout sum", "readout max"]
    x, y = hidden.containers[1].lines[0].get_data()
    assert list(x) == [10, 100, 1000]
    assert y == pytest.approx([61, 51, 71])
    bars = hidden.containers[1].lines[2][0].get_segments()
    assert bars[0][:, 1] == pytest.approx([60, 62])
    assert len(readout.containers) == 3
    assert [label.get_text() for label in readout.get_xticklabels()] == ["sum", "max"]
    assert list(readout.containers[0].lines[0].get_xdata()) == [0, 1]


@pytest.mark.parametrize(
    ("values", "scale", "labels"),
    [
        ([0.1, 0.5], "linear", None),
        ([0, 100], "linear", None),  # 0 has no logarithm
        ([True, False], "linear", ["true", "false"]),
        ([[], ["flip"]], "linear", ["none", "flip"]),
        ([[10], [10, 5]], "linear", ["10", "10 5"]),
    ],
)
def test_numbers_have_their_places_and_names_their_order(values, scale, labels):
    settings = [entry(0.5, None, 1.0, option=value) for value in values]
    (axes,) = draw_options(Sweep({"option": values}, []), settings).axes
    assert axes.get_xscale() == scale
    places = list(axes.containers[0].lines[0].get_xdata())
    assert places == (values if labels is None else [0, 1])
    if labels is not None:
        assert [label.get_text() for label in axes.get_xticklabels()] == labels
    assert axes.get_legend() is None


def test_accuracy_against_spikes():
    (axes,) = draw_spikes(Sweep(OVER, []), SETTINGS).axes
    points = [(c.lines[0].get_xdata()[0], c.lines[0].get_ydata()[0]) for c in axes.containers]
    assert points[2] == (10.0, pytest.approx(60))
    assert axes.get_legend().get_texts()[0].get_text() == "hidden 100, readout sum"
    validated = [entry(0.5, 0.1, 1.0, 0.7, hidden=[100], readout="sum")]
    (axes,) = draw_spikes(Sweep(OVER, []), validated).axes
    assert axes.get_ylabel() == "validation accuracy (%)"
    assert axes.containers[0].lines[0].get_ydata()[0] == pytest.approx(70)
