"""How loose the membrane bound is: median and worst ratio of actual error to bound, over honest ports.

Run it: ``python -m tests.conformance.tightness``. It prints a table and fails if a port exceeds the bound anywhere.
"""

import sys

import numpy as np

from minisnn.oracle.batteries import random_case
from minisnn.oracle.judge import Judge
from tests import honest_ports as ports

# Steps and samples: a million neuron-steps and more for each precision and port (the two quadratic ones less).
SIZES = ((32, 256), (256, 32), (1024, 8), (2048, 8))


def ratios(name, dtype, seed, sizes=SIZES):
    """Error over bound for every neuron-step, and whether spikes were all right."""
    forward, _ = (ports.SINGLE | ports.FFT)[name]
    judge, rng, out = Judge("fft" if name == "fft" else "standard"), np.random.default_rng(seed), []
    for n_steps, batch in sizes:
        if name in ("triangular", "events") and n_steps > 300:
            continue
        case = random_case(
            "long",
            (batch, n_steps, 20, 32),
            "single-spike",
            dtype,
            rng,
            rate=0.05,
            gain=0.3,
            decay=(0.7, 0.999),
        )
        _, membrane = forward(case.spikes, case.weight, case.bias, case.decay, case.threshold)
        run = judge.reference(case)
        out.append((np.abs(membrane - run.membrane) / judge.potential_bound(case, run)).ravel())
    return np.concatenate(out)


def main():
    print(f"{'port':<16} {'dtype':<8} {'neuron-steps':>12} {'median':>9} {'99.9 %':>9} {'worst':>9}")
    worst_of_all = 0.0
    for name in (*ports.SINGLE, *ports.FFT):
        for dtype in ("float32", "float64"):
            found = ratios(name, dtype, seed=1)
            median, high, worst = np.median(found), np.quantile(found, 0.999), found.max()
            print(
                f"{name:<16} {dtype:<8} {found.size:12d} {median:9.4f} {high:9.4f} {worst:9.4f}", flush=True
            )
            worst_of_all = max(worst_of_all, worst)
    return 0 if worst_of_all <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
