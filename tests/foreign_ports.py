"""Honest ports of other makes: PyTorch, JAX and C. Each function needs its library, or the compiler."""

import ctypes
import runpy
import subprocess
from pathlib import Path

import numpy as np

NAMES = ("spikes", "weight", "bias", "decay")


def torch_ports():
    """Loops over time, gradients by autograd."""
    import torch

    class Step(torch.autograd.Function):
        @staticmethod
        def forward(ctx, u, scale):
            ctx.save_for_backward(u)
            ctx.scale = scale
            return (u > 0).to(u.dtype)

        @staticmethod
        def backward(ctx, grad):
            return grad / (1 + ctx.scale * ctx.saved_tensors[0].abs()) ** 2, None

    class First(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z, gated):
            ctx.gate = (z == 0).to(z.dtype) if gated else 1
            return (z == 1).to(z.dtype)

        @staticmethod
        def backward(ctx, grad):
            return grad * ctx.gate, None

    def single(x, w, b, beta, theta, scale=0.0, gradient=""):
        state, potentials = torch.zeros(()), []
        for current in (x @ w + b).unbind(1):
            state = beta * state + current
            potentials.append(state)
        v = torch.stack(potentials, 1)
        z = Step.apply(v - theta, scale).cumsum(1).cumsum(1)
        return First.apply(z, gradient == "gated"), v

    def multi(x, w, b, beta, theta, scale=0.0, gradient=""):
        v, out = torch.zeros(()), []
        for current in (x @ w + b).unbind(1):
            u = beta * v + current
            s = Step.apply(u - theta, scale)
            v = u - theta * (s.detach() if gradient == "detached-reset" else s)
            out.append((s, v))
        return tuple(torch.stack(parts, 1) for parts in zip(*out))

    def port(layer):
        def forward(*arguments):
            data = [torch.from_numpy(a) for a in arguments[:4]]
            return layer(*data, arguments[4])

        def backward(*arguments):
            data = [torch.from_numpy(a).requires_grad_() for a in arguments[:4]]
            spikes, _ = layer(*data, *arguments[4:7])
            spikes.backward(torch.from_numpy(arguments[7]))
            return {name: torch.zeros_like(a) if a.grad is None else a.grad for name, a in zip(NAMES, data)}

        return forward, backward

    return {"single-spike": port(single), "multi-spike": port(multi)}


def jax_ports():
    """An associative scan, for the conventional layer a plain one; compiled, gradients by vjp."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", True)

    @jax.custom_vjp
    def step(u, scale):
        return (u > 0).astype(u.dtype)

    step.defvjp(
        lambda u, scale: (step(u, scale), (u, scale)),
        lambda kept, grad: (grad / (1 + kept[1] * jnp.abs(kept[0])) ** 2, jnp.zeros_like(kept[1])),
    )

    @jax.custom_vjp
    def first(z, gated):
        return (z == 1).astype(z.dtype)

    first.defvjp(
        lambda z, gated: (first(z, gated), jnp.where(gated, z == 0, True)),
        lambda gate, grad: (grad * gate, None),
    )

    def single(x, w, b, beta, theta, scale, flag):
        current = x @ w + b

        def combine(early, late):
            return late[0] * early[0], late[0] * early[1] + late[1]

        v = lax.associative_scan(combine, (jnp.broadcast_to(beta, current.shape), current), axis=1)[1]
        z = jnp.cumsum(jnp.cumsum(step(v - theta, scale), axis=1), axis=1)
        return first(z, flag), v

    def multi(x, w, b, beta, theta, scale, flag):
        def one(v, current):
            u = beta * v + current
            s = step(u - theta, scale)
            v = u - theta * jnp.where(flag, lax.stop_gradient(s), s)
            return v, (s, v)

        current = jnp.swapaxes(x @ w + b, 0, 1)
        out = lax.scan(one, jnp.zeros_like(current[0]), current)[1]
        return tuple(jnp.swapaxes(part, 0, 1) for part in out)

    def port(layer, flagged):
        @jax.jit
        def run(data, theta):
            return layer(*data, theta, theta, False)

        @jax.jit
        def pull(data, theta, scale, flag, grad):
            return jax.vjp(lambda *data: layer(*data, theta, scale, flag)[0], *data)[1](grad)

        def forward(*arguments):
            return run(arguments[:4], arguments[1].dtype.type(arguments[4]))

        def backward(*arguments):
            theta, scale = (arguments[1].dtype.type(a) for a in arguments[4:6])
            return dict(zip(NAMES, pull(arguments[:4], theta, scale, arguments[6] == flagged, arguments[7])))

        return forward, backward

    return {"single-spike": port(single, "gated"), "multi-spike": port(multi, "detached-reset")}


LIF = r"""
#define LIF(REAL, NAME)                                                                                      \
void NAME(const REAL *x, const REAL *w, const REAL *b, const REAL *beta, const REAL *gs, REAL theta,         \
          REAL scale, REAL through, long B, long T, long I, long N, REAL *s, REAL *u, REAL *v, REAL *gx,     \
          REAL *gw, REAL *gb, REAL *gbeta) {                                                                 \
    for (long k = 0; k < B; k++)                                                                             \
        for (long n = 0; n < N; n++) {                                                                       \
            REAL state = 0, gu = 0;                                                                          \
            for (long t = 0; t < T; t++) {                                                                   \
                long cell = (k * T + t) * N + n;                                                             \
                state *= beta[n];                                                                            \
                for (long i = 0; i < I; i++) state += x[(k * T + t) * I + i] * w[i * N + n];                 \
                u[cell] = state += b[n];                                                                     \
                s[cell] = state > theta;                                                                     \
                v[cell] = state -= theta * s[cell];                                                          \
            }                                                                                                \
            for (long t = T - 1; gs && t >= 0; t--) {                                                        \
                long cell = (k * T + t) * N + n;                                                             \
                REAL far = u[cell] > theta ? u[cell] - theta : theta - u[cell], gv = beta[n] * gu;           \
                REAL h = 1 / (1 + scale * far);                                                              \
                gu = gv * (1 - through * (h * h)) + gs[cell] * (h * h);                                      \
                gb[n] += gu;                                                                                 \
                if (t > 0) gbeta[n] += gu * v[cell - N];                                                     \
                for (long i = 0; i < I; i++) {                                                               \
                    gw[i * N + n] += x[(k * T + t) * I + i] * gu;                                            \
                    gx[(k * T + t) * I + i] += w[i * N + n] * gu;                                            \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
}
LIF(float, f32)
LIF(double, f64)
"""


def c_ports(folder):
    """C, the conventional layer with fused multiply-add where the processor has it."""
    example = runpy.run_path("examples/11_check_a_c_port.py")
    source, library = Path(folder) / "lif.c", Path(folder) / "lif.so"
    source.write_text(LIF)
    native = ["-march=native", "-ffp-contract=fast", "-O3", "-shared", "-fPIC"]
    subprocess.run(["cc", *native, str(source), "-o", str(library)], check=True)
    loaded = ctypes.CDLL(str(library))

    def run(spikes, weight, bias, decay, threshold, scale=0.0, gradient="", grad=None):
        real = ctypes.c_float if weight.dtype == np.float32 else ctypes.c_double
        s, u, v = (np.empty((*spikes.shape[:2], len(bias)), weight.dtype) for _ in "suv")
        found = [np.zeros_like(a) for a in (spikes, weight, bias, decay)]
        sizes = [ctypes.c_long(size) for size in (*spikes.shape, len(bias))]
        arrays = [None if a is None else a.ctypes.data_as(ctypes.c_void_p)
                  for a in (spikes, weight, bias, decay, grad, s, u, v, *found)]  # fmt: skip
        through = 0.0 if gradient == "detached-reset" else threshold
        name = "f32" if real is ctypes.c_float else "f64"
        getattr(loaded, name)(*arrays[:5], real(threshold), real(scale), real(through), *sizes, *arrays[5:])
        return (s, v) if grad is None else dict(zip(NAMES, found))

    return {
        "single-spike": example["port_of"](example["build"](folder, "plain", "-ffp-contract=off")),
        "multi-spike": (run, run),
    }
