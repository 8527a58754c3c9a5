"""Checks of many ports by the same cases: these are made once, and so are the bounds."""

import functools
import sys
from types import MappingProxyType

import pytest

from minisnn.oracle import families
from minisnn.oracle.judge import Judge, _remembered
from minisnn.oracle.plan import checked_settings, plan
from minisnn.oracle.port import Port
from minisnn.oracle.step_cases import StepJudge
from minisnn.oracle.step_check import _diagnose, drawn_steps
from minisnn.oracle.trial import judged

ALL = dict(families.FAMILIES)


class Remembering(Judge):
    def rounding(self, case, forward):
        if case.neuron == "multi-spike":  # by the spikes that came
            return super().rounding(case, forward)
        make = super().rounding
        return _remembered(case, ("rounding", self.bound), lambda: make(case, forward))


@functools.lru_cache(2)  # those of all families take hundreds of megabytes
def prepared(
    neuron="single-spike", gradient="both", dtype="both", *, tried=(), breaks=None, bound="standard"
):
    """A check with ten examples and these families, in both directions or in one, that makes nothing smaller."""
    judge = Remembering(bound)
    settings = checked_settings(judge, neuron, gradient, dtype, 10, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(families, "FAMILIES", {name: ALL[name] for name in tried})
        cases = [
            (direction, [(family, list(members)) for family, members in batteries])
            for direction, batteries in plan(settings, judge)
            if breaks in (None, direction)
        ]

    def check(forward, backward, among=None):
        """Try all of it, or some of the batteries."""
        some = [(d, [named for named in all_ if among is None or named[0] in among]) for d, all_ in cases]
        return _judged(Port(forward, backward, 60.0), judge, settings, some)

    return check


class RememberingSteps(StepJudge):
    def expected(self, case, mistake=MappingProxyType({})):
        make = super().expected
        return _remembered(case, ("step", mistake.get("says")), lambda: make(case, mistake))


@functools.cache
def prepared_steps(dtype="both"):
    """A check of a training step, with an example of every kind."""
    judge = RememberingSteps()
    settings = checked_settings(judge, "single-spike", None, dtype, 1, 0)
    cases = [
        ("step", [(mood, list(members)) for mood, members in drawn_steps(each, 1, 0, judge)])
        for each in settings["dtypes"]
    ]
    return lambda step: _judged(Port(step, None, 60.0, kind="step"), judge, settings, cases, _diagnose)


def _judged(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[judged.__module__], "_REDUCE_SECONDS", 0.0)
        return judged(*arguments)
