"""Source of the CUDA kernels, importable without CuPy so that they can be compiled where no GPU is.

One thread computes one (sample, neuron) for the whole train; neighbouring threads are neighbouring neurons, so
that every read and write of (B, T, N) is coalesced. `real` is float or double. No thread writes what another
writes and nothing is summed by atomics, so every run gives the same bits. Compile with `OPTIONS`: without
fused multiply-add the recursions round as they do in `numpy_sequential`.
"""

from __future__ import annotations

NAMES = (
    "integrate_dense",
    "integrate_events",
    "over_time",
    "single_spike_backward",
    "readout_backward",
    "sum_rows",
    "gather_events",
    "adam",
)
OPTIONS = ("--fmad=false",)
THREADS = 128

_SOURCE = r"""
typedef long long int64;

// Index of this thread; launched with at least `size` threads in one dimension.
#define CELL(size)                                                  \
    const int64 cell = (int64)blockIdx.x * blockDim.x + threadIdx.x; \
    if (cell >= (size)) return;

// Eq. 2, and the first crossing of Eqs. 3 to 5. `membrane` holds the input current on entry.
extern "C" __global__ void integrate_dense(
    real* membrane, int* spike_times, const real* bias, const real* decay, int decay_stride,
    real threshold, int batch, int n_steps, int n_out)
{
    CELL((int64)batch * n_out)
    const int64 b = cell / n_out, n = cell % n_out;
    const real beta = decay[n * decay_stride], constant = bias[n];
    real v = 0;
    int first = n_steps;
    for (int t = 0; t < n_steps; ++t) {
        const int64 at = (b * n_steps + t) * n_out + n;
        v = beta * v + (membrane[at] + constant);
        membrane[at] = v;
        if (first == n_steps && v > threshold) first = t;
    }
    spike_times[cell] = first;
}

// The same, with Eq. 1 as a sum of one weight row per event.
extern "C" __global__ void integrate_events(
    real* membrane, int* spike_times, const int64* indptr, const int* indices, const real* weight,
    const real* bias, const real* decay, int decay_stride, real threshold, int batch, int n_steps, int n_out)
{
    CELL((int64)batch * n_out)
    const int64 b = cell / n_out, n = cell % n_out;
    const real beta = decay[n * decay_stride], constant = bias[n];
    real v = 0;
    int first = n_steps;
    for (int t = 0; t < n_steps; ++t) {
        const int64 row = b * n_steps + t;
        real current = 0;
        for (int64 e = indptr[row]; e < indptr[row + 1]; ++e) current += weight[(int64)indices[e] * n_out + n];
        v = beta * v + (current + constant);
        membrane[row * n_out + n] = v;
        if (first == n_steps && v > threshold) first = t;
    }
    spike_times[cell] = first;
}

// Eq. 17: first maximum over time, or the sum.
extern "C" __global__ void over_time(
    const real* membrane, real* value, int64* peak_times, int is_sum, int batch, int n_steps, int n_out)
{
    CELL((int64)batch * n_out)
    const int64 b = cell / n_out, n = cell % n_out;
    real best = membrane[b * n_steps * n_out + n];
    int64 peak = 0;
    for (int t = 1; t < n_steps; ++t) {
        const real v = membrane[(b * n_steps + t) * n_out + n];
        if (is_sum) best += v;
        else if (v > best) { best = v; peak = t; }
    }
    value[cell] = best;
    peak_times[cell] = peak;
}

// Eqs. 6 to 9 in one pass from the end; z of Eq. 4 is 0 exactly before the spike. An absent gradient is told
// by its flag. Per (sample, neuron) sums for bias and decay are left for `sum_rows`.
extern "C" __global__ void single_spike_backward(
    const real* membrane, const int* spike_times, const real* grad_spikes, int has_spikes,
    const real* grad_membrane, int has_membrane, const real* decay, int decay_stride, real threshold,
    real surrogate_scale, int gated, real* grad_current, real* bias_part, real* decay_part,
    int batch, int n_steps, int n_out)
{
    CELL((int64)batch * n_out)
    const int64 b = cell / n_out, n = cell % n_out;
    const real beta = decay[n * decay_stride];
    const int tau = spike_times[cell];
    real inner = 0, outer = 0, g = 0, bias_sum = 0, decay_sum = 0;
    real v = membrane[(b * n_steps + n_steps - 1) * n_out + n];
    for (int t = n_steps - 1; t >= 0; --t) {
        const int64 at = (b * n_steps + t) * n_out + n;
        const real before = t ? membrane[at - n_out] : (real)0;
        real grad_v = 0;
        if (has_spikes) {
            if (!gated || t < tau) inner += grad_spikes[at];
            outer += inner;
            const real u = v - threshold;
            const real root = (real)1 / ((real)1 + surrogate_scale * (u < 0 ? -u : u));
            grad_v = outer * (root * root);
        }
        if (has_membrane) grad_v += grad_membrane[at];
        g = grad_v + beta * g;
        grad_current[at] = g;
        bias_sum += g;
        if (t) decay_sum += g * before;
        v = before;
    }
    bias_part[cell] = bias_sum;
    decay_part[cell] = decay_sum;
}

// Eq. 18, then Eq. 9.
extern "C" __global__ void readout_backward(
    const real* membrane, const int64* peak_times, const real* grad_value, int is_sum, const real* decay,
    int decay_stride, real* grad_current, real* bias_part, real* decay_part, int batch, int n_steps, int n_out)
{
    CELL((int64)batch * n_out)
    const int64 b = cell / n_out, n = cell % n_out;
    const real beta = decay[n * decay_stride], incoming = grad_value[cell];
    const int64 peak = peak_times[cell];
    real g = 0, bias_sum = 0, decay_sum = 0;
    for (int t = n_steps - 1; t >= 0; --t) {
        const int64 at = (b * n_steps + t) * n_out + n;
        g = (is_sum || t == peak ? incoming : (real)0) + beta * g;
        grad_current[at] = g;
        bias_sum += g;
        if (t) decay_sum += g * membrane[at - n_out];
    }
    bias_part[cell] = bias_sum;
    decay_part[cell] = decay_sum;
}

// (rows, columns) -> (columns,), row after row.
extern "C" __global__ void sum_rows(const real* values, real* total, int rows, int columns)
{
    CELL(columns)
    real sum = 0;
    for (int r = 0; r < rows; ++r) sum += values[(int64)r * columns + cell];
    total[cell] = sum;
}

// Eq. 10 from events sorted by input neuron: one thread per weight, its events in the order of time.
extern "C" __global__ void gather_events(
    const int64* first_event, const int64* rows, const real* grad_current, real* grad_weight, int n_in, int n_out)
{
    CELL((int64)n_in * n_out)
    const int64 i = cell / n_out, n = cell % n_out;
    real sum = 0;
    for (int64 e = first_event[i]; e < first_event[i + 1]; ++e) sum += grad_current[rows[e] * n_out + n];
    grad_weight[cell] = sum;
}

// One step of Adam, in place; `rest1` is 1 - beta1, `correction1` 1 - beta1^step.
extern "C" __global__ void adam(
    real* parameter, const real* gradient, real* first, real* second, real lr, real beta1, real rest1,
    real beta2, real rest2, real correction1, real correction2, real eps, real weight_decay, int64 size)
{
    CELL(size)
    const real g = gradient[cell], p = parameter[cell];
    const real m = beta1 * first[cell] + rest1 * g;
    const real s = beta2 * second[cell] + rest2 * (g * g);
    first[cell] = m;
    second[cell] = s;
    const real move = (m / correction1) / (sqrt(s / correction2) + eps);
    parameter[cell] = p - lr * (move + weight_decay * p);
}
"""


def source(dtype: str) -> str:
    """CUDA C++ source of all kernels for ``"float32"`` or ``"float64"``."""
    return f"typedef {'float' if dtype == 'float32' else 'double'} real;\n{_SOURCE}"
