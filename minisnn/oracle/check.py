"""The checker: try a port of the single-spike layer, or of the conventional one, and judge it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..errors import DataError, InputError, one_line, shown
from ..files import checked_folder, read_npz
from .calling import name_of
from .cases import Case
from .judge import Judge
from .plan import checked_settings, plan
from .port import Port
from .process import Program
from .report import Report
from .step_cases import StepCase, StepJudge
from .trial import judged, tried


def check(
    forward: Callable[..., Any] | str | Program,
    backward: Callable[..., Any] | str | None = None,
    *,
    neuron: str = "single-spike",
    gradient: str | None = None,
    dtype: str = "both",
    examples: int = 100,
    seed: int = 0,
    timeout: float = 10.0,
    first_timeout: float = 120.0,
    memory: int | None = None,
    bound: str = "standard",
    convention: str | Iterable[str] | None = None,
    save: str | Path | None = None,
) -> Report:
    """Try a port on golden vectors, edge cases, drawn cases and large ones, and judge every number by its bound.

    Parameters
    ----------
    forward : callable, str or Program
        A function of this process, which is called in a thread of its own; or, safe from every accident, the name of
        one (``module:function``, ``path/to/file.py:function``), which is loaded and called in another process, or a
        `Program` that answers both passes.
        ``forward(spikes, weight, bias, decay, threshold) -> (spikes, membrane)``: spikes (B, T, n_in) 0 or 1, weight
        (n_in, N), bias (N,), decay (N,), all in the dtype under test and writable copies; threshold a float.
        Returns the raster (B, T, N), or spike times (B, N) with T for never, and the membrane potential or None:
        bool, integer or float, in whatever `numpy.asarray` takes. Complex numbers, objects, text, dates, records and
        masked arrays are findings.
    backward : callable or str, optional
        ``backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes) -> mapping`` with any
        of ``spikes, weight, bias, decay``; `gradient` is ``"gated"`` or ``"straight-through"``, in the
        conventional layer ``"through-reset"`` or ``"detached-reset"``.
    neuron : {"single-spike", "multi-spike"}
        Layer the port computes.
    gradient : {"both", "gated", "straight-through", "through-reset", "detached-reset"}
        Which gradients to check, by default both; for the conventional layer "both" means ``"through-reset"``. A
        program is asked for gradients only if this is given.
    dtype : {"both", "float32", "float64"}
        Precision under test.
    examples : int
        Cases drawn for every dtype and direction.
    seed : int
        Of the drawn cases.
    timeout : float
        Seconds allowed for a call. One that takes longer may have compiled: if `first_timeout` allows for it, it is
        made again, and is a finding if it takes longer again.
    first_timeout : float
        Seconds that the first call of each function may take in each dtype, import included; calls that compile later
        share what it leaves, and take half a minute at most.
    memory : int
        Megabytes of address space that a port in a process of its own may take.
    bound : {"standard", "fft"}
        What the port may deviate: any order of summation, or a convolution by FFT (`minisnn.oracle.bounds`).
    convention : str or list of str, optional
        Other libraries' rules to judge by: ``"tie-fires"``, ``"scaled-input"``.
    save : path, optional
        Folder for the smallest failing cases, each with a pytest file.

    Returns
    -------
    report : Report
        ``.passed``, ``.findings``, and as text what was tried and how near the bound the port came.

    Raises
    ------
    InputError
        For arguments that make no sense; whatever the port does wrong is a finding instead.

    Examples
    --------
    >>> import minisnn
    >>> def port(spikes, weight, bias, decay, threshold):
    ...     trace = minisnn.single_spike_forward(spikes, weight, bias, decay, threshold=threshold)
    ...     return trace.spike_times, trace.membrane
    >>> check(port, examples=5, dtype="float64").passed
    True
    >>> report = check(lambda *a: (port(*a)[0], port(*a)[1] * 1.001), examples=5, dtype="float64")
    >>> report.passed, report.findings[0].violations[0].kind
    (False, 'membrane')
    """
    judge = Judge(bound, convention)
    if gradient is None and backward is not None:
        gradient = "both"
    settings = checked_settings(judge, neuron, gradient, dtype, examples, seed)
    if backward is None and not isinstance(forward, Program):
        settings["gradients"] = []
    try:
        folder = None if save is None else checked_folder(save).absolute()
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"save must be a folder to write to, got {shown(save)}: {one_line(error)}") from None
    port = Port(forward, backward, timeout, first_timeout, memory)
    report = judged(port, judge, settings, plan(settings, judge))
    if folder is not None:
        report.save(folder, name_of(forward), None if backward is None else name_of(backward))
    return report


def assert_right(
    port: Callable[..., Any] | str | Program,
    case: Case | StepCase | str | Path,
    *,
    bound: str = "standard",
    convention: str | Iterable[str] | None = None,
    timeout: float = 10.0,
) -> None:
    """Raise AssertionError, with what is wrong, unless `port` answers a case rightly.

    Parameters
    ----------
    port : callable, str or Program
        A forward or backward port, or a training step, as the case demands (see `check` and `check_step`).
    case : Case, StepCase or path
        A case, or the .npz file of one.
    bound, convention, timeout
        As in `check`.
    """
    if not isinstance(case, (Case, StepCase)):
        arrays = read_npz(case)
        try:
            case = StepCase.from_arrays(arrays, case) if "labels" in arrays else Case.from_arrays(arrays)
        except KeyError as missing:
            text = f"{case} is no case that minisnn check saved: it has no array {missing}"
            raise DataError(text) from None
    step = isinstance(case, StepCase)
    backward = None if step or isinstance(port, Program) else port
    asked = Port(port, backward, timeout, kind="step" if step else "forward")
    judge = StepJudge(bound) if step else Judge(bound, convention)
    try:
        _, verdict = tried(asked, judge, case)
    finally:
        asked.close()
    if verdict.violations:
        raise AssertionError("\n".join(f"{v.kind}: {v.detail}" for v in verdict.violations))
