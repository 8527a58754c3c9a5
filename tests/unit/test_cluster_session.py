"""What happens to trainings whose workers die, and what the progress bar says."""

import queue
from types import SimpleNamespace

import pytest

from minisnn import __version__
from minisnn.errors import DataError, InputError
from minisnn.training import cluster
from minisnn.training.series import How, Results, Training
from tests.helpers import one_line


class KilledWorker(Exception):
    """As Dask's own is named."""


class Client:
    """Tasks that end as a test says."""

    def __init__(self, answers=()):
        self.futures, self.cancelled, self.answers = [], [], iter(answers)

    def wait_for_workers(self, n, timeout):
        pass

    def run(self, function, *arguments, **how):
        return {"tcp://there": next(self.answers)}

    def submit(self, function, folder, task, *, key, pure):
        assert len({future.key for future in self.futures} | {key}) == len(self.futures) + 1
        self.futures.append(SimpleNamespace(key=key, add_done_callback=self._keep, status="pending"))
        return self.futures[-1]

    def _keep(self, callback):
        self.futures[-1].callback = callback

    def end(self, status, error=None):
        future = self.futures[-1]
        future.status, future.exception = status, lambda: error
        future.callback(future)

    def subscribe_topic(self, topic, handler):
        self.tell = lambda name: handler((0.0, name))

    def unsubscribe_topic(self, topic):
        self.tell = None

    def cancel(self, futures):
        self.cancelled += futures


@pytest.fixture
def session(tmp_path):
    run = SimpleNamespace(path=tmp_path, done=0)
    run.finished_epochs = lambda: run.done
    training = Training("one", run, None)
    with cluster.Cluster(Client(), None) as session:
        session.submit(training, 0)
        yield session, training
    assert session.client.cancelled == list(session.futures.values())
    assert session.client.tell is None


def test_a_training_that_gets_on_is_submitted_after_any_number_of_deaths(session):
    session, training = session
    for epoch in range(1, 20):
        session.client.tell("one")
        training.run.done = epoch
        session.client.end("error", KilledWorker())
        with pytest.raises(queue.Empty):
            session.next_end()
        assert not session.started
    session.client.end("finished")
    assert session.next_end() == (training, None)


def test_a_training_that_brings_workers_down_fails(session):
    session, training = session
    session.client.tell("one")
    session.client.end("error", KilledWorker())
    ended, error = session.next_end()
    assert ended is training
    with one_line(InputError, "its workers died, one after the other: killed, or out of memory"):
        raise error


def test_one_that_only_waited_there_is_submitted_again_a_few_times(session):
    session, _ = session
    for _ in range(4):
        session.client.end("error", KilledWorker())
        with pytest.raises(queue.Empty):
            session.next_end()
    session.client.end("error", KilledWorker())
    assert isinstance(session.next_end()[1], InputError)


@pytest.mark.parametrize("end", [("error", OverflowError("diverged")), ("lost", None)])
def test_other_errors_are_its_own_and_a_lost_result_is_in_the_folder(session, end):
    session, training = session
    session.client.end(*end)
    assert session.next_end() == (training, end[1])


def test_a_scheduler_that_is_gone_ends_the_command(session):
    session, _ = session
    session.client.end("cancelled")
    with one_line(DataError, "the scheduler is gone; what is finished stays, go on with the same command"):
        session.next_end()


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (["0.0.9"], f"worker tcp://there must have the minisnn of the command: {__version__} is not 0.0.9"),
        ([ImportError("none")], "worker tcp://there cannot import minisnn: none"),
        ([__version__, False], "--out must be a folder that all workers share; tcp://there: no "),
    ],
)
def test_a_strange_worker_is_named(tmp_path, answers, message):
    workers = cluster.Cluster(Client(answers), "tcp://scheduler")
    config = SimpleNamespace(training=SimpleNamespace(epochs=3), dataset="yin-yang", data={})
    training = Training("one", SimpleNamespace(path=tmp_path, finished_epochs=lambda: 0), config)
    with one_line(InputError, message):
        workers.check_workers()
        workers([training], How(quiet=True), Results())


def test_the_bar_counts_and_names_the_best():
    said = []
    bar = SimpleNamespace(
        n=1, update=said.append, refresh=lambda: None, set_postfix_str=lambda text, refresh: said.append(text)
    )
    results = Results()
    cluster._show(bar, results, 2)
    for name, validation, test in (("a", 0.5, 0.9), ("b", 0.7, 0.1), ("c", None, 0.6)):
        results.outcomes[name] = {"name": name, "validation_accuracy": validation, "test_accuracy": test}
    results.failed["d"] = "line"
    cluster._show(bar, results, 1)
    assert said == ["running 2, failed 0", -1, "running 1, failed 1, best 70.00 % (b)", 3]


def test_tasks_name_places_as_any_machine_finds_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINISNN_DATA", "data")
    sent = []
    client = Client()
    submit = client.submit
    client.submit = lambda function, folder, task, **how: (
        sent.append((folder, task)) or submit(function, 0, 0, **how)
    )
    run = SimpleNamespace(path=tmp_path.relative_to(tmp_path) / "run", finished_epochs=lambda: 0)
    for data_dir, expected in ((None, None), ("mine", str(tmp_path / "mine"))):
        here = cluster.Cluster(client, None)
        here.how = How(data_dir)
        here.submit(Training("one", run, None), 0)
        folder, task = sent.pop()
        assert folder == str(tmp_path / "run")
        assert task["places"] == [expected, str(tmp_path / "data")]
