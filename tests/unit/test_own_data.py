"""Data sets of one's own: the layout in every form, through a file or folder, and a line for every fault."""

import os
import zipfile

import numpy as np
import pytest

from minisnn import SpikeEvents, load_dataset
from minisnn.datasets import EventSamples, folds, from_features, save_dataset, split
from minisnn.datasets.own import checked_source, title_of
from minisnn.errors import DataError, InputError
from minisnn.files import read_npz, write_folder, write_npz
from tests.helpers import one_line

RNG = np.random.default_rng(0)
TIMES = RNG.integers(0, 6, (20, 3))
EVENTS = SpikeEvents.from_spike_times(TIMES, n_steps=5)
RASTER = EVENTS.to_raster()
LABELS = np.arange(20) % 2
FORMS = {
    "raster": {"raster": RASTER},
    "times": {"spike_times": TIMES, "n_steps": 5},
    "events": {"indptr": EVENTS.indptr, "indices": EVENTS.indices, "n_steps": 5, "n_inputs": 3},
}
WHOLE = FORMS["events"] | {"labels": LABELS}


@pytest.fixture(params=[write_npz, write_folder], ids=["file", "folder"])
def saved(request, tmp_path):
    """Writes arrays, as they are, to a file or a folder; returns its path."""

    def save(name="own", **arrays):
        path = tmp_path / (name + ".npz" * (request.param is write_npz))
        request.param(path, {name: np.asarray(array) for name, array in arrays.items()})
        return path

    return save


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_data(form, saved):
    test = {f"test_{name}": array for name, array in FORMS[form].items() if not name.startswith("n_")}
    arrays = FORMS[form] | test | {"labels": LABELS, "test_labels": 1 - LABELS, "class_names": ["no", "yes"]}
    data = load_dataset(saved(**arrays))
    assert (data.name, data.n_steps, data.n_inputs, data.n_classes) == ("own", 5, 3, 2)
    assert data.classes == ["no", "yes"]
    for part, labels in ((data.train, LABELS), (data.test, 1 - LABELS)):
        assert np.array_equal(part.batch(np.arange(20)).to_raster(), RASTER)
        assert np.array_equal(part.labels, labels)
    few = load_dataset(saved("few", **arrays), train_samples=7, test_samples=2)
    assert (len(few.train), few.test.labels.tolist()) == (7, [1, 0])


def test_counts(saved):
    counts = RASTER * 3
    data = load_dataset(
        saved(raster=counts, labels=LABELS, counts=True, test_raster=counts, test_labels=LABELS)
    )
    assert np.array_equal(data.train.batch(np.arange(20)).to_raster(), counts)


def test_without_a_test_part_the_same_fifth_is_held_out(saved):
    one, other = load_dataset(saved(**WHOLE)), load_dataset(saved("other", **WHOLE))
    assert (len(one.train), sorted(one.test.labels)) == (16, [0, 0, 1, 1])
    assert np.array_equal(one.test.indices, other.test.indices)
    assert set(one.train.indices) | set(one.test.indices) == set(range(20))
    assert one.fingerprint == other.fingerprint
    assert len(split(one, 4).validation) == 4
    assert len(folds(one, 2)) == 2


def test_save_dataset_and_back(tmp_path):
    samples = EventSamples(EVENTS, LABELS)
    save_dataset(tmp_path / "a.npz", samples, EventSamples(EVENTS[:4], LABELS[:4]), class_names=["no", "yes"])
    save_dataset(tmp_path / "folder", load_dataset(tmp_path / "a.npz"))
    save_dataset(tmp_path / "b.npz", load_dataset(tmp_path / "folder"))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    one, other = (load_dataset(tmp_path / name) for name in ("a.npz", "folder"))
    assert one.fingerprint == other.fingerprint
    assert (len(one.test), one.class_names) == (4, ("no", "yes"))
    save_dataset(tmp_path / "c.npz", samples)
    assert "test_labels" not in read_npz(tmp_path / "c.npz")
    counted = SpikeEvents.from_raster(RASTER * 2, counts=True)
    save_dataset(tmp_path / "d.npz", EventSamples(counted, LABELS), samples)
    assert load_dataset(tmp_path / "d.npz").train.batch(np.arange(20)).to_raster().max() == 2


def test_what_save_dataset_refuses(tmp_path):
    samples, path = EventSamples(EVENTS, LABELS), tmp_path / "a.npz"
    data = from_features(TIMES, LABELS)
    wrong = {
        "train part must be samples, got ndarray; EventSamples": (RASTER, samples),
        "test part must be samples, got Dataset": (samples, data),
        "labels of the test part must lie in 0 ... 1, got 2": (samples, EventSamples(EVENTS, LABELS + 2)),
        "a Dataset has its own test samples": (data, samples),
        "has a validation part": (split(data, 2),),
    }
    for message, arguments in wrong.items():
        with one_line(InputError, message):
            save_dataset(path, *arguments)
    for names in (["a"], [1, 2], "ab", None, (name for name in "ab")):
        with one_line(InputError, "class_names must be 2 texts, one for every class"):
            save_dataset(path, samples, class_names=names)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("there", ["file", "full"])
def test_a_folder_is_new_or_empty_and_written_whole(tmp_path, there):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with one_line(InputError, f"{there} exists already: name a new folder"):
        save_dataset(tmp_path / there, EventSamples(EVENTS, LABELS))
    with one_line(ValueError, "Object arrays"):
        write_folder(tmp_path / "new", {"a": LABELS, "b": np.array([{}])})
    save_dataset(tmp_path / "empty", EventSamples(EVENTS, LABELS))
    assert sorted(os.listdir(tmp_path)) == ["empty", "file", "full"]
    assert os.stat(tmp_path / "empty").st_mode == os.stat(tmp_path / "full").st_mode


# ---- faults -------------------------------------------------------------------------------------------

NAN = np.where(RASTER, np.nan, 0)
FAULTS = [
    ("one of raster, spike_times, and indptr with indices must be there, got labels", {"labels": LABELS}),
    ("must be there, got raster and spike_times", FORMS["raster"] | FORMS["times"] | {"labels": LABELS}),
    ("must be there, got no array", {}),
    ("labels is missing; found raster", FORMS["raster"]),
    ("n_steps is missing", {"spike_times": TIMES, "labels": LABELS}),
    ("n_inputs is missing", WHOLE | {"n_inputs": None}),
    ("indices is missing", WHOLE | {"indices": None}),
    ("test_labels is missing", WHOLE | {"test_raster": RASTER}),
    ("one of test_raster, test_spike_times, .* must be there", WHOLE | {"test_labels": LABELS}),
    ("unknown array 'lables' .did you mean 'labels'", FORMS["raster"] | {"lables": LABELS}),
    ("unknown array 'x'", WHOLE | {"x": LABELS}),
    ("labels must be 20 integers, got int64 of shape .19", WHOLE | {"labels": LABELS[1:]}),
    ("labels must be 20 integers, got float64", WHOLE | {"labels": LABELS / 1}),
    ("labels must be 20 integers, got <U", WHOLE | {"labels": LABELS.astype(str)}),
    ("labels must lie in 0 ... .*, got -1", WHOLE | {"labels": LABELS - 1}),
    ("labels must number the classes 0, 1, 2 and so on, got up to 20 in 20", WHOLE | {"labels": LABELS * 20}),
    ("labels of the train part must lie in 0 ... 0, got 0 ... 1", WHOLE | {"n_classes": 1}),
    ("labels of the test part must lie in 0 ... 1, got 2 ... 3",
     WHOLE | {"test_raster": RASTER, "test_labels": LABELS + 2}),
    ("n_classes must be a whole number >= 1, got", WHOLE | {"n_classes": 0}),
    ("class_names must be 2 texts", WHOLE | {"class_names": [1, 2]}),
    ("class_names must be 3 texts", WHOLE | {"class_names": ["a", "b"], "n_classes": 3}),
    ("raster: spikes must be 0 or 1 .*, got 3", FORMS["raster"] | {"raster": 3 * RASTER, "labels": LABELS}),
    ("raster: spikes must be whole .*, got nan", {"raster": NAN, "labels": LABELS, "counts": True}),
    ("raster must have n_steps = 6, got 5", {"raster": RASTER, "labels": LABELS, "n_steps": 6}),
    ("raster must have n_inputs = 2, got 3", {"raster": RASTER, "labels": LABELS, "n_inputs": 2}),
    ("test part must have 5 steps and 3 inputs, got 4 and 3",
     {"raster": RASTER, "labels": LABELS, "test_raster": RASTER[:, 1:], "test_labels": LABELS}),
    ("spike_times must lie in 0 ... 4", {"spike_times": TIMES, "labels": LABELS, "n_steps": 4}),
    ("test_spike_times: .*must be integers",
     WHOLE | {"test_spike_times": TIMES / 1, "test_labels": LABELS}),
    ("n_steps must be a whole number >= 1, got", {"spike_times": TIMES, "labels": LABELS, "n_steps": 5.0}),
    ("indptr and indices: .*in ascending order", WHOLE | {"indices": EVENTS.indices[::-1]}),
    ("indptr and indices: indptr must have batch . 7 . 1 entries", WHOLE | {"n_steps": 7}),
    ("counts must be True or False", WHOLE | {"counts": 2}),
    ("at least two samples where there are none for the test", {"raster": RASTER[:1], "labels": LABELS[:1]}),
]  # fmt: skip


@pytest.mark.parametrize(("message", "arrays"), FAULTS, ids=[message[:40] for message, _ in FAULTS])
def test_a_fault_names_file_and_array(message, arrays, saved):
    path = saved(**{name: array for name, array in arrays.items() if array is not None})
    with one_line(DataError, f"^{path}: .*{message}"):
        load_dataset(path)


def test_damaged_files_and_folders(saved):
    path = saved(**WHOLE)
    part = path / "labels.npy" if path.is_dir() else path
    good = part.read_bytes()
    for content in (good[:-3], good[:40], b"", b"label,x\n1,2\n", b"PK\3\4"):
        part.write_bytes(content)
        with one_line(DataError, f"{part} is not a readable .np[yz] file"):
            load_dataset(path)
    if path.is_dir():
        np.save(part, np.array([{}]), allow_pickle=True)
        with one_line(
            DataError, "labels.npy .*: a file holds pickled Python objects: save plain numbers or text"
        ):
            load_dataset(path)
    else:
        np.savez(path, labels=np.array([{}]))
        with one_line(DataError, "own.npz .*: entry 'labels.npy' holds pickled Python objects"):
            load_dataset(path)
        path.write_bytes(good)
        with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
            archive.writestr("labels.npy", b"")
        with one_line(DataError, "own.npz .*: entry 'labels.npy' is there twice"):
            load_dataset(path)


def test_a_raster_with_few_spikes_may_be_compressed(tmp_path):
    raster = np.zeros((20, 100, 10000), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", raster=raster, labels=LABELS)
    assert (tmp_path / "a.npz").stat().st_size < raster.size / 500
    assert load_dataset(tmp_path / "a.npz").n_inputs == 10000


def test_options_of_other_data_are_refused(saved):
    path = saved(**WHOLE)
    for option in ({"encoding": "log"}, {"augment": "flip"}, {"dt": 1}, {"counts": True}, {"download": True}):
        with one_line(InputError, f"{next(iter(option))} has no meaning for {path}: leave it out"):
            load_dataset(path, **option)
    with one_line(InputError, "has 5 steps, got n_steps 6: leave it out"):
        load_dataset(path, n_steps=6)
    with one_line(InputError, r"test_samples must lie in 1 ... 4, got 5"):
        load_dataset(path, test_samples=5)
    with one_line(InputError, "fingerprint has no meaning for yin-yang"):
        load_dataset("yin-yang", fingerprint="x")
    assert load_dataset(path, n_steps=5).n_steps == 5


def test_names_and_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder("gestures", {name: np.asarray(array) for name, array in WHOLE.items()})
    write_npz("own.npz", {name: np.asarray(array) for name, array in WHOLE.items()})
    (tmp_path / "mnist").mkdir()
    assert [title_of(name) for name in ("a/own.npz", "a/own.txt", ".npz")] == ["own", "own.txt", ".npz"]
    assert checked_source("mnist") == "mnist"
    assert checked_source("./mnist") == str(tmp_path / "mnist")
    assert checked_source("own.npz") == checked_source("/gone/own.npz", tmp_path) == str(tmp_path / "own.npz")
    for name, message in {
        "gesturs": "unknown data set 'gesturs' .did you mean 'gestures'.*path of an .npz file or a folder",
        "fashion-mnst": "did you mean 'fashion-mnist'",
        "owm.npz": "owm.npz does not exist .did you mean 'own.npz'",
        "none/own.npz": "none/own.npz does not exist$",
        "./gesturs": "gesturs does not exist .did you mean 'gestures'",
        "a\0b": "unknown data set",
        "": "unknown data set ''",
        5: "unknown data set 5",
    }.items():
        with one_line(InputError, message):
            load_dataset(name)
    with one_line(DataError, "elsewhere/own.npz does not exist"):
        load_dataset("own.npz", "elsewhere")


def test_another_content_is_refused(saved):
    path, changed = saved(**WHOLE), saved("changed", **WHOLE | {"labels": 1 - LABELS})
    fingerprint = load_dataset(path).fingerprint
    assert load_dataset(path, fingerprint=fingerprint).fingerprint == fingerprint
    with one_line(
        DataError, f"{changed} has changed: its content has the fingerprint .*, not '{fingerprint}'"
    ):
        load_dataset(changed, fingerprint=fingerprint)
    with one_line(DataError, "not 5;"):
        load_dataset(path, fingerprint=5)


# ---- tables -------------------------------------------------------------------------------------------


def test_features_become_spike_times():
    table = np.array([[0.0, 5, 1], [1.0, 7, 1], [0.5, 9, 1]])
    data = from_features(table, [7, 3, 7], (table + 9, [3, 3, 7]), n_steps=11, encoding="sparse")
    assert data.class_names == ("3", "7")
    assert data.train.labels.tolist() == [1, 0, 1]
    # Large is early; the smallest, and what is constant, is silent; beyond the range of training is its end.
    assert data.train.spikes.first_spike_times().tolist() == [[11, 11, 11], [0, 4, 11], [4, 0, 11]]
    assert data.test.spikes.first_spike_times().tolist() == [[0, 0, 0]] * 3


def test_a_dataframe(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"a": [1.0, 2, 3, 4, 5], "b": [True, False, True, False, True], "kind": list("xyxyx")}
    )
    numbers, kind = frame[["a", "b"]], frame["kind"]
    for labels in (kind, kind.astype("category"), kind.astype("string")):
        data = from_features(numbers, labels)
        assert (data.class_names, data.n_inputs) == (("x", "y"), 2)
    save_dataset(tmp_path / "table.npz", data)
    assert load_dataset(tmp_path / "table.npz").class_names == ("x", "y")
    missing = numbers.astype({"a": "Int64"}).replace(3, pandas.NA)
    for features, labels, message in (
        (frame, kind, "features must be numbers, got other values in the columns kind"),
        (missing, kind, r"features must be finite"),
        (numbers.replace(3.0, np.nan), kind, "features must be finite"),
        (frame["a"], kind, r"features must have shape \(samples, features\)"),
        (numbers, frame["a"], "labels must be integers or text, one for every sample, got float64"),
        (numbers, kind.where(frame["b"]), "labels must be integers or text"),
        (numbers, kind[1:], "labels must be 5 integers"),
    ):
        with one_line(InputError, message):
            from_features(features, labels)
    with one_line(InputError, r"test labels must be among \['x', 'y'\], got 'z'"):
        from_features(numbers, kind, (numbers, list("xyzxx")))
    for test in (5, (numbers,), (numbers, kind, kind)):
        with one_line(InputError, "test must be .features, labels., got"):
            from_features(numbers, kind, test)
    with one_line(InputError, "test features must have 2 columns, got 1"):
        from_features(numbers, kind, (frame[["a"]], kind))


def test_tables_of_nothing():
    for features, labels, message in (
        (np.zeros((0, 2)), [], "features must have shape"),
        (np.zeros((1, 2)), [0], "at least two samples"),
        (np.array([["a"], ["b"]]), [0, 1], "features must be whole or real numbers"),
        ([[1.0], [2.0]], [[0], [1]], "labels must be integers or text"),
        ([[1e308], [-1e308]], [0, 1], "feature 0 spans more than float64 holds"),
    ):
        with one_line(InputError, message):
            from_features(features, labels)
