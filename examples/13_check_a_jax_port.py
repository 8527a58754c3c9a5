"""Check a port in JAX: one scan for the potential, two running sums, differentiated by JAX itself.

Run it: ``python examples/13_check_a_jax_port.py`` (needs jax: pip install jax). It prints the
report and a table of how near the port came to the bound. JAX computes in float32 unless it is told otherwise.
"""

import sys

from minisnn.oracle import check

try:
    import jax
    import jax.numpy as jnp
except ImportError as error:
    raise SystemExit(f"needs JAX: pip install jax ({error})") from None

jax.config.update("jax_enable_x64", True)


def crossings(distance, scale):
    """The step, with the derivative of the fast sigmoid in the backward pass."""
    step = jax.custom_vjp(lambda u, s: (u > 0).astype(u.dtype))
    step.defvjp(
        lambda u, s: ((u > 0).astype(u.dtype), (u, s)),
        lambda kept, grad: (grad / (1 + kept[1] * jnp.abs(kept[0])) ** 2, jnp.zeros_like(kept[1])),
    )
    return step(distance, scale)


def first_only(z, gated):
    """S = 1 where z is 1, with one of the paper's two derivatives."""
    first = jax.custom_vjp(lambda z, g: (z == 1).astype(z.dtype))
    first.defvjp(
        lambda z, g: ((z == 1).astype(z.dtype), (z, g)),
        lambda kept, grad: (grad * jnp.where(kept[1] > 0, kept[0] == 0, True), jnp.zeros_like(kept[1])),
    )
    return first(z, gated)


def layer(spikes, weight, bias, decay, threshold, surrogate_scale, gated):
    def leak(v, current):
        v = decay * v + current
        return v, v

    current = spikes @ weight + bias
    _, membrane = jax.lax.scan(leak, jnp.zeros_like(current[:, 0]), current.swapaxes(0, 1))
    membrane = membrane.swapaxes(0, 1)
    crossed = crossings(membrane - threshold, surrogate_scale)
    return first_only(jnp.cumsum(jnp.cumsum(crossed, axis=1), axis=1), gated), membrane


def pulled_back(leaves, threshold, surrogate_scale, gated, grad_spikes):
    _, pull = jax.vjp(lambda *leaves: layer(*leaves, threshold, surrogate_scale, gated)[0], *leaves)
    return pull(grad_spikes)


layer_compiled, pulled_back_compiled = jax.jit(layer), jax.jit(pulled_back)


def forward(spikes, weight, bias, decay, threshold):
    return layer_compiled(spikes, weight, bias, decay, threshold, 10.0, 0.0)


def backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):
    leaves, gated = (spikes, weight, bias, decay), float(gradient == "gated")
    gradients = pulled_back_compiled(leaves, threshold, surrogate_scale, gated, grad_spikes)
    return dict(zip(("spikes", "weight", "bias", "decay"), gradients))


def main():
    report = check(forward, backward)
    print(report)
    print(f"\n{'quantity':<30} largest error / bound")
    for name, ratio in report.ratios.items():
        print(f"{name:<30} {ratio:.3f}")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
