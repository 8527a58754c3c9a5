"""The classifier for scikit-learn: its own checks, its tools, and what a user can get wrong."""

import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from minisnn import Network
from minisnn.errors import InputError
from minisnn.sklearn import SingleSpikeClassifier
from minisnn.training.optimiser import Adam
from tests.helpers import one_line


@parametrize_with_checks([SingleSpikeClassifier(hidden=30, epochs=15)])
def test_the_checks_of_scikit_learn_pass(estimator, check):
    if check.func.__name__ == "check_array_api_input":
        pytest.skip("needs SCIPY_ARRAY_API=1; features are read as NumPy arrays")
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    features, labels = load_digits(return_X_y=True)
    return features[:300], np.array([f"digit {k}" for k in labels[:300]])


def small(**parameters):
    return SingleSpikeClassifier(**{"hidden": 20, "epochs": 3, "random_state": 0} | parameters)


def test_digits_with_names_are_learned(digits):
    features, labels = digits
    classifier = small(hidden=60, epochs=30).fit(features[:200], labels[:200])
    assert classifier.score(features[200:], labels[200:]) > 0.8
    assert classifier.predict_proba(features).sum(axis=1) == pytest.approx(1)
    assert (classifier.classes_[classifier.decision_function(features).argmax(axis=1)]
            == classifier.predict(features)).all()  # fmt: skip
    assert isinstance(classifier.network_, Network)
    assert 0 < classifier.spikes_per_sample(features) <= 60
    assert len(classifier.loss_curve_) == classifier.n_iter_ == 30


def test_one_seed_gives_the_same_bits_here_and_in_a_pickle(digits):
    one, other = small().fit(*digits), clone(small()).fit(*digits)
    there = pickle.loads(pickle.dumps(one))
    expected = one.decision_function(digits[0])
    assert np.array_equal(expected, other.decision_function(digits[0]))
    assert np.array_equal(expected, there.decision_function(digits[0]))
    assert not np.array_equal(expected, small(random_state=1).fit(*digits).decision_function(digits[0]))


def test_partial_fit_goes_on_where_it_stopped_in_a_pickle_too(digits):
    features, labels = digits
    one = small().partial_fit(features, labels)
    there = pickle.loads(pickle.dumps(one))
    for classifier in (one, there):
        classifier.partial_fit(features, labels)
    assert np.array_equal(one.decision_function(features), there.decision_function(features))
    assert one.loss_curve_[1] < one.loss_curve_[0]


def test_warm_start_goes_on_and_a_fresh_fit_does_not(digits):
    features, labels = digits
    cold = small().fit(features, labels).fit(features, labels)
    warm = small(warm_start=True).fit(features, labels).fit(features, labels)
    assert cold.loss_curve_ == small().fit(features, labels).loss_curve_
    assert warm.loss_curve_[0] < cold.loss_curve_[-1]


def test_a_penalty_saves_spikes_also_in_a_warm_start(digits):
    features, labels = digits
    warm = small(warm_start=True).fit(features, labels)
    before = warm.spikes_per_sample(features)
    warm.set_params(spike_penalty=0.1).fit(features, labels)
    assert warm.spikes_per_sample(features) < 0.8 * before
    fewer = small(spike_penalty=0.1).fit(features, labels)
    assert fewer.spikes_per_sample(features) < 0.8 * before


def test_the_best_epoch_on_held_out_samples_counts(digits):
    classifier = small(epochs=6, validation_fraction=0.2).fit(*digits)
    assert 1 <= classifier.n_iter_ <= 6 == len(classifier.loss_curve_)


def search(digits, **how):
    found = GridSearchCV(small(), {"hidden": [10, (20,)]}, cv=2, refit=False, **how).fit(*digits)
    return found.cv_results_["mean_test_score"].tolist()


@pytest.fixture(scope="module")
def found_here(digits):
    return search(digits)


def test_it_works_in_a_pipeline_and_a_search_over_processes(digits, found_here):
    assert len(cross_val_score(make_pipeline(StandardScaler(), small()), *digits, cv=2)) == 2
    assert search(digits, n_jobs=2) == found_here


def test_a_search_runs_on_dask(digits, found_here):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            2, threads_per_worker=1, dashboard_address="127.0.0.1:0", processes=False
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_backend("dask"),
    ):
        assert search(digits) == found_here


def test_pandas_frames_keep_their_names(digits):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(digits[0]).add_prefix("pixel_")
    classifier = small().fit(frame, pandas.Series(digits[1]))
    assert classifier.feature_names_in_[0] == "pixel_0"
    assert np.array_equal(
        classifier.decision_function(frame), small().fit(*digits).decision_function(digits[0])
    )


def test_features_beyond_the_fitted_range_count_as_its_ends(digits):
    classifier = small().fit(*digits)
    ends = np.clip(digits[0] * 3 - 8, digits[0].min(axis=0), digits[0].max(axis=0))
    assert np.array_equal(classifier.decision_function(digits[0] * 3 - 8), classifier.decision_function(ends))


def test_every_epoch_says_a_line_if_asked(digits, capsys):
    small(verbose=True, validation_fraction=0.1).fit(*digits)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2", "epoch 3"]
    assert "validation accuracy" in lines[0]


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"hidden": "many"}, "sizes must be at least"),
        ({"encoding": "latency"}, "unknown encoding 'latency'"),
        ({"n_steps": 2.5}, "n_steps must be a whole number >= 1"),
        ({"lr": "fast"}, "lr must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"hidden_gain": float("nan")}, "hidden_gain must be"),
        ({"spike_penalty": "few"}, "spike_penalty must be"),
        ({"validation_fraction": 1.0}, "validation_fraction must be below 1"),
        ({"validation_fraction": -0.1}, "validation_fraction must be"),
        ({"validation_fraction": 0.999}, "validation"),
        ({"warm_start": "yes"}, "warm_start must be"),
        ({"verbose": 2.5}, "verbose must be"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_one_line(digits, parameters, says):
    with one_line(ValueError, says):
        small(**parameters).fit(*digits)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_what_fails_leaves_the_classifier_as_it_was(digits, method):
    features, labels = digits
    classifier = small().fit(features, labels)
    before = classifier.decision_function(features)
    for parameters, table, named in (
        ({"lr": -1}, features, labels), ({"hidden": 0}, features[:, :9], labels),
        ({}, features[:, :9] * np.nan, labels), ({}, features, np.ones(len(labels)) / 3),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            getattr(classifier.set_params(**parameters), method)(table, named)
        assert np.array_equal(classifier.decision_function(features), before)
        classifier.set_params(lr=5e-3, hidden=20)
    with pytest.raises(ValueError, match="lr must be"):
        getattr(fresh := small(lr=-1), method)(*digits)
    with pytest.raises(NotFittedError):
        fresh.predict(features)


@pytest.mark.parametrize(("method", "warm"), [("fit", True), ("fit", False), ("partial_fit", False)])
@pytest.mark.parametrize("change", [{"lr": 1e38}, {"spike_penalty": 0.5}])
def test_what_fails_halfway_leaves_the_classifier_as_it_was(digits, monkeypatch, method, warm, change):
    one, other = (small(warm_start=warm).partial_fit(*digits) for _ in range(2))
    network, taken, usual = one.network_, [], Adam.step

    def step(self, *arguments):
        taken.append(usual(self, *arguments))
        if len(taken) == 4 and "spike_penalty" in change:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Adam, "step", step)
        with pytest.raises((KeyboardInterrupt, OverflowError)):
            getattr(one.set_params(**change), method)(*digits)
    assert taken
    assert one.network_ is network
    for classifier in (one.set_params(lr=5e-3, spike_penalty=0.0), other):
        classifier.partial_fit(*digits)
    assert one.loss_curve_ == other.loss_curve_
    assert np.array_equal(one.decision_function(digits[0]), other.decision_function(digits[0]))


def test_a_parameter_that_is_set_counts_from_the_next_fit_on(digits):
    classifier = small().fit(*digits)
    before = classifier.decision_function(digits[0])
    for parameters in ({"n_steps": 9}, {"encoding": "log"}, {"n_steps": "many", "encoding": 5, "hidden": 0}):
        classifier.set_params(**parameters)
        assert np.array_equal(classifier.decision_function(digits[0]), before)
    classifier.set_params(n_steps=9, encoding="log", hidden=20).fit(*digits)
    assert not np.array_equal(classifier.decision_function(digits[0]), before)


def test_labels_that_were_never_seen_are_refused(digits):
    features, labels = digits
    classifier = small().partial_fit(features, labels)
    for wrong in (np.where(labels == "digit 3", "digit 33", labels), np.arange(len(labels)) % 10):
        with pytest.raises(InputError, match="y must hold labels of the first fit"):
            classifier.partial_fit(features, wrong)
    with pytest.raises(InputError, match="classes must be those of the first call"):
        classifier.partial_fit(features, labels, classes=["digit 1", "digit 2"])
    with pytest.raises(InputError, match="y must hold labels of the first fit"):
        small().partial_fit(features, labels, classes=["digit 1", "digit 2"])


def test_a_mask_is_refused_and_not_forgotten(digits):
    features, labels = digits
    masked = np.ma.array(features, mask=features == 0)
    classifier = small().fit(features, labels)
    for call, *given in (
        (classifier.fit, masked, labels), (classifier.fit, features, np.ma.array(labels)),
        (classifier.partial_fit, masked, labels), (classifier.predict, list(masked)),
        (classifier.predict_proba, masked), (classifier.score, masked, labels),
    ):  # fmt: skip
        with one_line(InputError, "[Xy] must not be a masked array: fill it"):
            call(*given)


def test_a_range_beyond_float64_is_refused(digits):
    features = digits[0].copy()
    features[0, 5], features[1, 5] = 1.7e308, -1.7e308
    with pytest.raises(InputError, match="feature 5 spans more than float64 holds"):
        small().fit(features, digits[1])


def test_predicting_before_fitting_says_so(digits):
    for method in ("predict", "predict_proba", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(small(), method)(digits[0])
