"""Peak memory of warm training steps, measured in a process of their own.

The child builds network and input, and takes a step of two time steps, which loads the compiled code. It notes its
resident memory as idle, resets the kernel's high-water mark, and takes steps. The peak above idle is the memory that a
training loop needs apart from its data; the input is in the idle part already. Needs Linux; None elsewhere.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

from ..solvers.settings import settings
from .timing import Contestant, StepRunner
from .workloads import Workload, make_batch, make_network

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_rss_mb(what: Workload, rule: str, contestant: Contestant, n_steps: int = 3) -> float | None:
    """Peak memory of `n_steps` training steps above the idle process, in MB (10^6 bytes); None without /proc."""
    if not _STATUS.exists():
        return None
    task = json.dumps([asdict(what), rule, asdict(contestant), n_steps])
    command = [sys.executable, "-m", "minisnn.bench.memory"]
    child = subprocess.run(command, input=task, capture_output=True, text=True, check=False)
    if child.returncode != 0:
        raise RuntimeError(f"the process that measures memory failed: {child.stderr.strip()[-500:]}")
    answer: float | None = json.loads(child.stdout)
    return answer


def _field(name: str) -> int:
    """A field of /proc/self/status, in bytes."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no field {name}")


def _measure(what: Workload, rule: str, contestant: Contestant, n_steps: int) -> float | None:
    with settings(contestant.product, contestant.threads):
        network = make_network(what, rule, contestant.neuron, make_batch(replace(what, batch=8))[0])
        StepRunner(contestant, network, *make_batch(replace(what, n_steps=2, batch=8))).step()
        runner = StepRunner(contestant, network, *make_batch(what))
        gc.collect()
        # Freed pages that the allocator keeps would count as idle memory and hide the memory of a step.
        if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
            libc.malloc_trim(0)
        idle = _field("VmRSS")
        try:
            _CLEAR.write_text("5")  # the high-water mark starts from here
        except OSError:
            if _field("VmHWM") > idle:  # a mark that cannot be reset may lie above all that comes
                return None
        for _ in range(n_steps):
            runner.step()
        return (_field("VmHWM") - idle) / 1e6


def _main() -> None:
    what, rule, contestant, n_steps = json.load(sys.stdin)
    print(json.dumps(_measure(Workload(**what), rule, Contestant(**contestant), n_steps)))


if __name__ == "__main__":
    _main()
