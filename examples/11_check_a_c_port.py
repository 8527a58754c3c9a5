"""Check a port in plain C: compiled here, called through ctypes, judged by the oracle.

Run it: ``python examples/11_check_a_c_port.py`` (needs a C compiler). It prints the reports of two builds of the same
source, one of them with fused multiply-add where the processor has it, and a table of how near each came to the bound.
Neither rounds as NumPy does, and both are right.
"""

import ctypes
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from minisnn.oracle import check

SOURCE = r"""
#include <math.h>
#include <stddef.h>

/* One template for both precisions. Shapes: x (B,T,I), w (I,N), b and beta (N), v and gs (B,T,N). */
#define LAYER(REAL, NAME)                                                                                    \
void NAME##_forward(const REAL *x, const REAL *w, const REAL *b, const REAL *beta, double theta,             \
                    int B, int T, int I, int N, REAL *v, int *tau) {                                         \
    for (int s = 0; s < B; s++)                                                                              \
        for (int n = 0; n < N; n++) {                                                                        \
            REAL state = 0;                                                                                  \
            tau[s * N + n] = T;                                                                              \
            for (int t = 0; t < T; t++) {                                                                    \
                REAL current = b[n];                                                                         \
                for (int i = 0; i < I; i++) current += x[((size_t)s * T + t) * I + i] * w[i * N + n];        \
                state = beta[n] * state + current;                                                           \
                v[((size_t)s * T + t) * N + n] = state;                                                      \
                if (state > (REAL)theta && tau[s * N + n] == T) tau[s * N + n] = t;                          \
            }                                                                                                \
        }                                                                                                    \
}                                                                                                            \
void NAME##_backward(const REAL *x, const REAL *w, const REAL *beta, double theta, double scale, int gated,  \
                     const REAL *v, const int *tau, const REAL *gs, int B, int T, int I, int N,              \
                     REAL *gx, REAL *gw, REAL *gb, REAL *gbeta) {                                            \
    for (int s = 0; s < B; s++)                                                                              \
        for (int n = 0; n < N; n++) {                                                                        \
            REAL inner = 0, outer = 0, gi = 0;                                                               \
            for (int t = T - 1; t >= 0; t--) {                                                               \
                size_t cell = ((size_t)s * T + t) * N + n, row = ((size_t)s * T + t) * I;                    \
                if (!gated || t < tau[s * N + n]) inner += gs[cell];                                         \
                outer += inner;                                                                              \
                REAL far = 1 + (REAL)scale * (REAL)fabs((double)(v[cell] - (REAL)theta));                    \
                gi = outer / (far * far) + beta[n] * gi;                                                     \
                gb[n] += gi;                                                                                 \
                if (t > 0) gbeta[n] += gi * v[cell - N];                                                     \
                for (int i = 0; i < I; i++) {                                                                \
                    gw[i * N + n] += x[row + i] * gi;                                                        \
                    gx[row + i] += w[i * N + n] * gi;                                                        \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
}
LAYER(float, f32)
LAYER(double, f64)
"""


def build(folder, name, *flags):
    """Compile the source; None where the compiler does not know the flags."""
    source, library = Path(folder) / "layer.c", Path(folder) / f"{name}.so"
    source.write_text(SOURCE)
    done = subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", *flags, str(source), "-o", str(library), "-lm"], capture_output=True
    )
    return ctypes.CDLL(str(library)) if done.returncode == 0 else None


def port_of(library):
    """(forward, backward) for the oracle."""

    def pointers(*arrays):
        return [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]

    def name(weight):
        return "f32" if weight.dtype == np.float32 else "f64"

    def forward(spikes, weight, bias, decay, threshold):
        (batch, n_steps, n_in), n_out = spikes.shape, weight.shape[1]
        membrane = np.empty((batch, n_steps, n_out), dtype=weight.dtype)
        times = np.empty((batch, n_out), dtype=np.int32)
        given = [np.ascontiguousarray(array) for array in (spikes, weight, bias, decay)]
        run = getattr(library, f"{name(weight)}_forward")
        run(
            *pointers(*given),
            ctypes.c_double(threshold),
            batch,
            n_steps,
            n_in,
            n_out,
            *pointers(membrane, times),
        )
        return times, membrane

    def backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):
        (batch, n_steps, n_in), n_out = spikes.shape, weight.shape[1]
        times, membrane = forward(spikes, weight, bias, decay, threshold)
        results = [np.zeros_like(array) for array in (spikes, weight, bias, decay)]
        run = getattr(library, f"{name(weight)}_backward")
        run(
            *pointers(spikes, weight, decay),
            ctypes.c_double(threshold),
            ctypes.c_double(surrogate_scale),
            int(gradient == "gated"),
            *pointers(membrane, times, grad_spikes),
            *(batch, n_steps, n_in, n_out),
            *pointers(*results),
        )
        return dict(zip(("spikes", "weight", "bias", "decay"), results))

    return forward, backward


def main():
    if shutil.which("cc") is None:
        raise SystemExit("needs a C compiler: no cc on the path")
    builds = {"plain": ("-ffp-contract=off",), "fused multiply-add": ("-mfma", "-ffp-contract=fast")}
    table, passed = [], True
    with tempfile.TemporaryDirectory() as folder:
        for name, flags in builds.items():
            library = build(folder, name.split()[0], *flags)
            if library is None or (name != "plain" and not has_fma()):
                print(f"{name}: not built, the compiler or the processor has none\n")
                continue
            report = check(*port_of(library))
            print(f"{name}\n{report}\n")
            passed &= report.passed
            table.append((name, report.ratios["float32 membrane"], report.ratios["float64 membrane"]))
    print(f"{'build':<20} {'float32':>8} {'float64':>8}   largest error / bound of the membrane")
    for name, single, double in table:
        print(f"{name:<20} {single:8.3f} {double:8.3f}")
    return 0 if passed else 1


def has_fma():
    """Whether the processor has fused multiply-add (known on Linux only)."""
    try:
        return " fma " in Path("/proc/cpuinfo").read_text().replace("\n", " ")
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
