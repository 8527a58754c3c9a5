"""What a wrong port gets to read: three common mistakes in one small NumPy layer, found by the oracle.

Run it: ``python examples/12_a_wrong_port.py``. The same from the command line::

    minisnn check examples/12_a_wrong_port.py:forward --backward examples/12_a_wrong_port.py:backward

which ends with exit code 1. The mistakes are marked below; the report names two of them, and the third once
these are repaired: a finding for each function at a time.
"""

import numpy as np

from minisnn.oracle import check


def integrate(spikes, weight, bias, decay):
    current = spikes @ weight + bias
    membrane, v = np.empty_like(current), np.zeros_like(current[:, 0])
    for t in range(current.shape[1]):
        v = decay * v + current[:, t]
        membrane[:, t] = v
    return membrane


def forward(spikes, weight, bias, decay, threshold):
    membrane = integrate(spikes, weight, bias, decay)
    above = membrane >= threshold  # mistake 1: a potential equal to the threshold is no spike
    return above & (np.cumsum(above, axis=1) == 1), membrane


def backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes, centre=0.0):
    membrane = integrate(spikes, weight, bias, decay)
    if gradient == "gated":
        grad_spikes = grad_spikes * (np.cumsum(membrane > threshold, axis=1) == 0)
    grad_crossings = np.cumsum(np.cumsum(grad_spikes[:, ::-1], axis=1), axis=1)[:, ::-1]
    # mistake 2: the surrogate belongs around the threshold, not around 0
    grad_u = grad_crossings / (1 + surrogate_scale * np.abs(membrane - centre)).astype(weight.dtype) ** 2
    grad_i, g = np.empty_like(grad_u), np.zeros_like(grad_u[:, 0])
    for t in reversed(range(grad_u.shape[1])):
        g = grad_u[:, t] + decay * g
        grad_i[:, t] = g
    return {
        "weight": np.einsum("bti,btn->in", spikes, grad_i),
        "bias": grad_i.sum(axis=(0, 1)),
        "decay": (grad_i * membrane).sum(axis=(0, 1)),  # mistake 3: the potential of the step before
    }


def repaired_surrogate(*arguments):
    """Mistake 2 repaired, mistake 3 still there."""
    return backward(*arguments, centre=arguments[4])


def main():
    # Mistakes 2 and 3 together are seen through one gradient at a time: here those of weight and bias.
    first = check(
        forward, lambda *a: {name: backward(*a)[name] for name in ("weight", "bias")}, dtype="float32"
    )
    print(first)
    print("\n---- the first two repaired ----\n")
    second = check(
        lambda *a: (forward(*a)[0], None), repaired_surrogate, dtype="float32", convention="tie-fires"
    )
    print(second)
    print("\nfunction   rule broken")
    for finding in (*first.findings, *second.findings):
        print(f"{finding.direction:<10} {finding.diagnosis.text}")


if __name__ == "__main__":
    main()
