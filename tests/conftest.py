import os

import hypothesis
import pytest

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


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory):
    """Tests neither read nor fill the user's cache; commands that tests start inherit this."""
    before = os.environ.get("MINISNN_CACHE")
    os.environ["MINISNN_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    # Coverage follows the processes of the tests, not the commands that they start, interrupt and starve.
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    yield
    del os.environ["MINISNN_CACHE"]
    if before is not None:
        os.environ["MINISNN_CACHE"] = before


@pytest.fixture
def data_dir():
    """Folder with the real data sets, or a skip with its reason."""
    folder = os.environ.get("MINISNN_DATA")
    if not folder:
        pytest.skip("needs real data: set MINISNN_DATA to the folder with the data sets")
    return folder


def pytest_collection_modifyitems(config, items):
    if not config.getoption("-m"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="takes minutes; run with -m slow"))
