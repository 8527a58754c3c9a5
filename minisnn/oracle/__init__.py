"""The oracle: it answers whether an implementation of the single-spike layer is right.

`check` tries a port and judges every number by a derived bound (`minisnn.oracle.bounds`) on the exact
result (`minisnn.oracle.reference`); `gradcheck` checks a backward pass by complex step on the anchored twin.
"""

from .answers import check_answers, write_cases
from .calling import load_function
from .cases import Case
from .check import assert_right, check
from .gradcheck import GradcheckResult, gradcheck
from .process import Program
from .report import Finding, Report
from .step_check import check_step

__all__ = [
    "Case",
    "Finding",
    "GradcheckResult",
    "Program",
    "Report",
    "assert_right",
    "check",
    "check_answers",
    "check_step",
    "gradcheck",
    "load_function",
    "write_cases",
]
