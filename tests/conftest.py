import os
import re
import signal
import sys

import hypothesis
import pytest

from minisnn import load_dataset, solvers
from minisnn.solvers.compiled import events, threads
from tests.helpers import run

# Derandomised: a red run is red again on the next machine. MINISNN_EXAMPLES raises the effort.
hypothesis.settings.register_profile(
    "minisnn",
    deadline=None,
    derandomize=True,
    print_blob=True,
    max_examples=int(os.environ.get("MINISNN_EXAMPLES", "60")),
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)
hypothesis.settings.load_profile("minisnn")


def pytest_configure():
    """Tests that run in the background of a script heed interrupts too, and so does all that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory):
    """Tests neither read nor fill the user's cache; commands that tests start inherit this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINISNN_CACHE", str(tmp_path_factory.mktemp("cache")))
        # Coverage follows the processes of the tests, not the commands that they start, interrupt and starve.
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
        yield


@pytest.fixture(autouse=True)
def settings_are_put_back():
    """And so is the path: the folder of a port that was loaded stays on it."""
    before, path = (threads.get_threads(), events.get_product()), sys.path[:]
    yield
    sys.path[:] = path
    threads.set_threads(before[0])
    events.set_product(before[1])


@pytest.fixture
def only(monkeypatch):
    """Leave out all families of a check but some."""
    from minisnn.oracle import families

    known = dict(families.FAMILIES)
    return lambda *names: monkeypatch.setattr(families, "FAMILIES", {name: known[name] for name in names})


@pytest.fixture
def few_families(only):
    """A check tries golden, edge and drawn cases: enough where the arithmetic is not in question."""
    only()


@pytest.fixture
def data_dir():
    """Folder with the real data sets, or a skip with its reason."""
    folder = os.environ.get("MINISNN_DATA")
    if not folder:
        pytest.skip("needs real data: set MINISNN_DATA to the folder with the data sets")
    return folder


@pytest.fixture(scope="session")
def data():
    """Few samples of the smallest data set."""
    return load_dataset("yin-yang", n_steps=20, train_samples=300, test_samples=100)


@pytest.fixture
def new_folder(tmp_path, monkeypatch):
    """Where a command is called, which draws no pictures: they take most of the time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minisnn.commands.options.draw", lambda *_: None)
    return tmp_path


@pytest.fixture
def wrong(monkeypatch):
    """Lets a function of a solver return something slightly different."""

    def change_result(solver, function, change):
        module = solvers.get(solver)
        right = getattr(module, function)
        monkeypatch.setattr(module, function, lambda *a, **k: change(right(*a, **k)))

    return change_result


@pytest.fixture
def refused(capsys):
    """Runs a command, which must end with exit code 2 and one line that holds a message; returns the line."""

    def check(command, message, *more_words):
        capsys.readouterr()
        assert run(command, *more_words) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        assert message in error
        return error

    return check


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """A cache for encoded and downloaded data, where no other place for data is known."""
    monkeypatch.setenv("MINISNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MINISNN_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def cupy():
    """The stand-in for CuPy, which minisnn finds while the tests of a module run."""
    from tests import cupy_stand_in as stand_in

    if stand_in.COMPILER is None and not os.environ.get("CI"):
        pytest.skip("g++ is missing, which runs the GPU kernels here")
    with stand_in.installed() as module:
        yield module


def pytest_collection_modifyitems(config, items):
    """Of two processes one begins with tests of the oracle that need no kernels; the other compiles meanwhile."""
    first = r"/test_(hostile|check_(?!ports)|oracle_(?!step))"
    items.sort(key=lambda item: re.search(first, str(item.path)) is None)
    if not config.getoption("-m"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="takes minutes; run with -m slow"))
