"""What a port may return, where it may be called, and what of it counts as a finding."""

import functools
import re
import signal
import sys
import threading
import types
import warnings

import numpy as np
import pytest

from minisnn.errors import DataError, InputError
from minisnn.oracle import assert_right, check, gradcheck, load_function
from tests import honest_ports as ports

FORWARD, BACKWARD = ports.SINGLE["loop"]
QUICK = {"dtype": "float32", "examples": 5}


@pytest.fixture(autouse=True)
def few_cases(few_families, monkeypatch):
    """Without gradients of edge cases, too: the arithmetic here is right, or wrong everywhere."""
    monkeypatch.setattr("minisnn.oracle.plan._edge_gradients", lambda *_: ())


def _times(*arguments):
    raster, membrane = FORWARD(*arguments)
    fired = raster.any(axis=1)
    return np.where(fired, raster.argmax(axis=1), raster.shape[1]), membrane


class Odd:
    """An object that NumPy asks for its numbers."""

    def __init__(self, answer):
        self.answer = answer

    def __array__(self, dtype=None, copy=None):
        return self.answer()


class Tensor(Odd):
    """Gives its numbers only once it is detached and fetched."""

    def __init__(self, values, state=("detach", "cpu")):
        self.values, self.state = values, state

    def detach(self):
        return Tensor(self.values, [s for s in self.state if s != "detach"])

    def cpu(self):
        return Tensor(self.values, [s for s in self.state if s != "cpu"])

    def __array__(self, dtype=None, copy=None):
        if self.state:
            raise RuntimeError("a tensor elsewhere")
        return self.values


class Silent(Exception):
    def __str__(self):
        raise ValueError("no text")


def _raises(error):
    raise error


def _warns(values):
    warnings.warn("numbers of old", UserWarning, stacklevel=1)
    return values


def _structured(values):
    out = np.zeros(values.shape, dtype=[("value", values.dtype)])
    out["value"] = values
    return out


# How an array may be wrapped so that its numbers are no longer plain real ones.
WRONG = {
    "complex": lambda a: a + 5j,
    "complex without an imaginary part": lambda a: a.astype(complex),
    "complex in a list": lambda a: (a + 0j).tolist(),
    "complex tensor": lambda a: Tensor(a + 1j),
    "object": lambda a: a.astype(object),
    "text": lambda a: a.astype(str),
    "bytes": lambda a: a.astype("S32"),
    "dates": lambda a: a.astype("i8").astype("M8[s]"),
    "durations": lambda a: a.astype("i8").astype("m8[s]"),
    "records": _structured,
    "masked": lambda a: np.ma.array(a, mask=np.arange(a.size).reshape(a.shape) == 0),
    "masked, nothing hidden": np.ma.array,
    "masked in a list": lambda a: [np.ma.array(part, mask=True) for part in a],
    "masked by __array__": lambda a: Odd(lambda: np.ma.array(a, mask=True)),
    "generator": lambda a: (part for part in a),
    "set": lambda a: set(a.ravel().tolist()),
    "dict": lambda a: dict(enumerate(a)),
    "ragged": lambda a: [*a.tolist(), [[0.0]]],
    "none in a list": lambda a: [None] * len(a),
    "raises": lambda a: Odd(lambda: _raises(RuntimeError("two\nlines"))),
    "raises without a text": lambda a: Odd(lambda: _raises(Silent())),
    "raises what is no Exception": lambda a: Odd(lambda: _raises(SystemExit(0))),
    "no array by __array__": lambda a: Odd(lambda: "numbers"),
}
# ... and how they still are.
RIGHT = {
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(a),
    "list of tensors": lambda a: [Tensor(np.asarray(part)) for part in a],
    "tensor": Tensor,
    "double": lambda a: a.astype(np.float64),
    "long double": lambda a: a.astype(np.longdouble),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "fortran": np.asfortranarray,
    "reversed": lambda a: a[::-1].copy()[::-1],
    "subclass": lambda a: a.view(np.recarray),
    "object with __array__": lambda a: Odd(lambda: a),
    "warns when read": lambda a: Odd(lambda: _warns(a)),
}


def _read_only(array):
    array.flags.writeable = False
    return array


RIGHT["read-only"] = _read_only


def _finding(forward, backward=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no warning leaves the checker, not even as an error
        report = check(forward, backward, **(QUICK | options))
    assert not report.passed
    (finding,) = report.findings
    assert "\n" not in finding.violations[0].detail
    return finding


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_nothing_passes_by_being_cast(wrong):
    """Of a forward pass the membrane is spoilt among the hostile ports."""
    forward = _finding(lambda *a: [wrong(FORWARD(*a)[0]), None])
    backward = _finding(FORWARD, lambda *a: {"weight": wrong(BACKWARD(*a)["weight"])})
    for finding, direction in ((forward, "forward"), (backward, "backward")):
        assert finding.direction == direction
        assert finding.rule in ("answer", "exception"), finding.text()


@pytest.mark.parametrize("right", RIGHT.values(), ids=RIGHT)
def test_whatever_holds_real_numbers_is_read(right):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for forward in (FORWARD, _times):
            report = check(
                lambda *a, run=forward: tuple(right(v) for v in run(*a)),
                lambda *a: {name: right(v) for name, v in BACKWARD(*a).items()},
                **QUICK,
            )
            assert report.passed, str(report)


@pytest.mark.parametrize("dtype", ["i2", "u8", "f4", ">f8", "g", object])
def test_spike_times_are_whole_numbers_of_any_real_dtype(dtype):
    report = check(lambda *a: (_times(*a)[0].astype(dtype), None), **QUICK)
    assert report.passed == (dtype is not object)
    assert _finding(lambda *a: (_times(*a)[0] + 0.5, None)).rule == "raster"


def test_matrix_and_frame_of_spike_times():
    pandas = pytest.importorskip("pandas", reason="needs pandas to return a data frame")
    assert check(lambda *a: (pandas.DataFrame(_times(*a)[0]), None), **QUICK).passed
    assert check(lambda *a: (_times(*a)[0].view(np.matrix), None), **QUICK).passed
    assert _finding(lambda *a: (pandas.DataFrame(_times(*a)[0]).astype("string"), None)).rule == "answer"


def test_half_precision_is_read_and_judged():
    finding = _finding(lambda *a: (FORWARD(*a)[0], FORWARD(*a)[1].astype(np.float16)))
    assert finding.rule == "precision"


def _buffered(function, read=lambda a: a):
    """Writes every answer into the buffer that it handed out for the last one of that shape."""
    buffers = {}

    def kept(array):
        buffer = buffers.setdefault(array.shape, np.empty(array.shape, array.dtype))
        buffer[...] = array
        return read(buffer)

    def call(*arguments):
        answer = function(*arguments)
        if isinstance(answer, dict):
            return {name: kept(array) for name, array in answer.items()}
        return answer[0], kept(answer[1])

    return call


@pytest.mark.parametrize(
    "read", [lambda a: a, np.asfortranarray, lambda a: a[...], Tensor, lambda a: Odd(lambda: a)]
)
def test_an_answer_that_the_next_call_overwrites_is_a_finding(read):
    for forward, backward in ((_buffered(FORWARD, read), None), (FORWARD, _buffered(BACKWARD, read))):
        finding = _finding(forward, backward)
        assert finding.rule == "reused-buffer"
        assert finding.direction == ("forward" if backward is None else "backward")
    assert check(_buffered(FORWARD, np.copy), **QUICK).passed
    assert check(_buffered(FORWARD, lambda a: a.tolist()), **QUICK).passed


@pytest.mark.parametrize("answer", [1e308, -1e308, 3e38])
def test_absurd_numbers_are_findings_and_warn_nobody(answer):
    def huge(array):
        return np.full(array.shape, answer)

    for dtype in ("float32", "float64"):
        assert _finding(lambda *a: (FORWARD(*a)[0], huge(FORWARD(*a)[1])), dtype=dtype).direction == "forward"
        found = _finding(FORWARD, lambda *a: {k: huge(v) for k, v in BACKWARD(*a).items()}, dtype=dtype)
        assert found.direction == "backward"


@pytest.mark.parametrize("neuron", ["single-spike", "multi-spike"])
def test_a_warning_of_the_port_is_its_own(neuron):
    forward = ports.SINGLE["loop"][0] if neuron == "single-spike" else ports.MULTI["loop"][0]

    def noisy(*arguments):
        return _warns(forward(*arguments))

    detail = _finding(noisy, neuron=neuron).violations[0].detail
    assert re.fullmatch(
        r"UserWarning: numbers of old \(line \d+ of test_oracle_port.py: warnings.warn.*\)", detail
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert check(noisy, neuron=neuron, **QUICK).passed


@pytest.mark.parametrize(
    "error", [Silent(), SystemExit(0), KeyboardInterrupt(), RecursionError("deep\ndown")]
)
def test_whatever_a_port_raises_is_a_finding(error):
    assert _finding(lambda *a: _raises(error)).rule == "exception"


# ---- where a port may be called ---------------------------------------------------------------------


def _sets_a_signal(*arguments):
    signal.signal(signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))
    return FORWARD(*arguments)


def _asks_for_the_thread(*arguments):
    assert threading.current_thread() is threading.main_thread(), "the main thread is needed"
    return FORWARD(*arguments)


STATE = threading.local()
STATE.scale = 1.0


def _reads_state_of_its_thread(*arguments):
    raster, membrane = FORWARD(*arguments)
    return raster, membrane * np.float32(STATE.scale)


def _is_wrong_in_another_thread(*arguments):
    """No exception, only other numbers: as where a library keeps its precision for each thread."""
    raster, membrane = FORWARD(*arguments)
    return raster, membrane * np.float32(getattr(STATE, "scale", 0.5))


@pytest.mark.parametrize(
    "port", [_sets_a_signal, _asks_for_the_thread, _reads_state_of_its_thread, _is_wrong_in_another_thread]
)
def test_a_right_port_may_need_the_thread_it_was_loaded_in(port):
    report = check(port, lambda *a: port(*a[:5]) and BACKWARD(*a), **QUICK)
    assert report.passed, str(report)
    assert "called there" in report.notes[0]
    assert check(FORWARD, lambda *a: port(*a[:5]) and BACKWARD(*a), **QUICK).passed


def test_a_wrong_port_is_wrong_in_every_thread():
    def wrong(*arguments):
        raster, membrane = _is_wrong_in_another_thread(*arguments)
        return raster, membrane * np.float32(1.1)

    report = check(wrong, **QUICK)
    assert not report.passed
    assert not report.notes


def test_a_port_that_is_wrong_now_and_then_is_not_excused_by_the_thread():
    calls = iter(range(10**6))

    def forward(*arguments):
        raster, membrane = FORWARD(*arguments)
        return raster, membrane * np.float32(1.5 if next(calls) % 7 == 3 else 1.0)

    assert _finding(forward).rule == "non-deterministic"


def test_a_saved_case_is_tried_in_the_right_thread_too():
    (finding,) = check(lambda *a: (FORWARD(*a)[0], -FORWARD(*a)[1]), **QUICK).findings
    assert_right(_is_wrong_in_another_thread, finding.case)
    with pytest.raises(InputError, match="must be functions"):
        assert_right(5, finding.case)


def test_interrupting_a_port_in_the_callers_thread_interrupts_the_check():
    calls = iter(range(10**6))

    def forward(*arguments):
        if next(calls) > 20:
            raise KeyboardInterrupt
        return _asks_for_the_thread(*arguments)

    with pytest.raises(KeyboardInterrupt):
        check(forward, **QUICK)


# ---- files ------------------------------------------------------------------------------------------


PORT = """
import numpy as np

def forward(spikes, weight, bias, decay, threshold):
    from helper_0816 import step
    v = np.zeros((len(spikes), len(bias)), dtype=weight.dtype)
    times = np.full(v.shape, spikes.shape[1])
    for t in range(spikes.shape[1]):
        v = step(v, spikes[:, t] @ weight + bias, decay)
        times[(v > threshold) & (times == spikes.shape[1])] = t
    return times, None
"""


@pytest.mark.parametrize("spec", ["port_0816:forward", "port_0816.py:forward", "below/port_0817.py:forward"])
def test_a_port_may_import_when_it_is_called(tmp_path, monkeypatch, spec):
    for folder, name in ((tmp_path, "port_0816"), (tmp_path / "below", "port_0817")):
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(PORT)
        (folder / "helper_0816.py").write_text(
            "def step(v, current, decay):\n    return decay * v + current\n"
        )
    monkeypatch.chdir(tmp_path)
    assert check(spec, **QUICK).passed


def test_a_file_that_ends_when_it_is_imported_is_wrong_use(tmp_path):
    (tmp_path / "ends_0816.py").write_text("def forward(*a):\n    pass\n\nraise SystemExit(0)\n")
    with pytest.raises(InputError, match="cannot import .*SystemExit"):
        load_function(f"{tmp_path}/ends_0816.py:forward")
    assert "ends_0816" not in sys.modules


def test_findings_of_a_function_from_nowhere_can_be_saved(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "made_0816", types.ModuleType("made_0816"))
    wrong = lambda *a: (FORWARD(*a)[0], -FORWARD(*a)[1])  # noqa: E731
    wrong.__module__ = "made_0816"  # its __spec__ is None
    for k, port in enumerate((wrong, functools.partial(wrong), np.add)):
        assert not check(port, save=tmp_path / str(k), **QUICK).passed
        assert (tmp_path / str(k) / "finding_1.npz").is_file()


# ---- arguments --------------------------------------------------------------------------------------


@pytest.mark.parametrize("five", [np.int64(5), np.uint8(5), np.array(5), np.array([5])])
def test_counts_may_be_numpy_numbers(five):
    report = check(FORWARD, dtype="float32", examples=five, seed=five, timeout=np.float32(10))
    assert report.passed
    assert report.tried["forward"]["drawn"].cases == 5
    assert [type(report.settings[name]) for name in ("examples", "seed")] == [int, int]


@pytest.mark.parametrize(
    "options",
    [
        {"neuron": "single"},
        {"gradient": "through-reset"},
        {"neuron": "multi-spike", "gradient": "gated"},
        {"dtype": "float16"},
        {"examples": 0},
        {"seed": -1},
        {"timeout": 0.0},
        {"bound": "loose"},
        {"convention": "tie"},
        {"examples": 5.0},
        {"examples": True},
        {"examples": np.nan},
        {"examples": "5"},
        {"examples": [1, 2]},
        {"seed": 1.5},
        {"timeout": np.nan},
        {"timeout": "soon"},
        {"neuron": ["single-spike"]},
        {"gradient": 5},
        {"first_timeout": -1},
        {"memory": 0},
        {"memory": 100},  # of a function of this process
        {"backward": "port:backward"},
        {"dtype": np.float32},
        {"dtype": ["float32"]},
        {"bound": 1},
        {"convention": 1},
        {"convention": [["tie-fires"]]},
        {"save": 5},
        {"save": "\0"},
    ],
    ids=str,
)
def test_wrong_use_is_one_line(options):
    with pytest.raises(InputError) as caught:
        check(FORWARD, **({"backward": BACKWARD} | options))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_case_is_one_line(tmp_path):
    np.savez(tmp_path / "other.npz", weights=np.ones(3))
    with pytest.raises(DataError, match="no array 'neuron'"):
        assert_right(FORWARD, tmp_path / "other.npz")


LAYER = {
    "spikes": np.ones((2, 3, 4)),
    "weight": np.ones((4, 2)),
    "bias": np.zeros(2),
    "decay": np.full(2, 0.5),
}


@pytest.mark.parametrize("name", [*LAYER, "grad_spikes", "grad_membrane"])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda a: a + 1j,
        lambda a: a.astype(complex),
        lambda a: a.astype(object),
        lambda a: a.astype(str),
        lambda a: np.ma.array(a, mask=True),
        lambda a: a * np.nan,
        lambda a: a[..., None, None],
    ],
    ids=["complex", "zero imaginary part", "object", "text", "masked", "nan", "shape"],
)
def test_gradcheck_takes_real_numbers_only(name, wrong):
    arguments = LAYER | {"grad_spikes": np.ones((2, 3, 2)), "grad_membrane": np.ones((2, 3, 2))}
    arguments[name] = wrong(arguments[name])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=name) as caught:
            gradcheck("single-spike", **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"components": 1.5},
        {"components": 0},
        {"seed": -1},
        {"seed": "one"},
        {"threshold": np.nan},
        {"threshold": 1j},
        {"surrogate_scale": -1},
        {"gradient": "both"},
        {"backward": lambda *a: {"weight": np.ones((4, 2)) + 1j}},
        {"backward": lambda *a: {"weights": np.ones((4, 2))}},
        {"backward": lambda *a: None},
    ],
)
def test_gradcheck_arguments_that_make_no_sense(options):
    with pytest.raises(InputError) as caught:
        gradcheck("single-spike", **LAYER, **options)
    assert "\n" not in str(caught.value)


def test_gradcheck_takes_numpy_numbers_and_lists():
    lists = {name: value.tolist() for name, value in LAYER.items()}
    result = gradcheck(
        "single-spike", **lists, components=np.int64(3), seed=np.array(2), threshold=np.float32(1)
    )
    assert result.ok()
    assert max(result.checked.values()) == 3
