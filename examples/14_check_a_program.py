"""Check a program in any language, here in C: it reads cases from its standard input and writes answers to its output.

Run it: ``python examples/14_check_a_program.py`` (needs a C compiler). It compiles ``14_a_program.c``, which was
written from ``minisnn/oracle/golden/PROTOCOL.md`` alone, and prints the report. The same from the command line::

    minisnn check --program ./port --gradient both
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from minisnn.oracle import Program, check


def build(folder):
    """The compiled program."""
    source, program = Path(__file__).with_name("14_a_program.c"), Path(folder) / "port"
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", source, "-o", program, "-lm"], check=True)
    return program


def main():
    if shutil.which("cc") is None:
        raise SystemExit("needs a C compiler: no cc on the path")
    with tempfile.TemporaryDirectory() as folder:
        report = check(Program(str(build(folder))), gradient="both")
    print(report)
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
