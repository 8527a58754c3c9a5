"""Check a port in PyTorch: the paper's convolution form, differentiated by autograd.

Run it: ``python examples/10_check_a_pytorch_port.py`` (needs torch: pip install torch). It
prints the report and a table of how near the port came to the bound.
"""

import sys

from minisnn.oracle import check

try:
    import torch
except ImportError as error:
    raise SystemExit(f"needs PyTorch: pip install torch ({error})") from None


def convolve(values, kernel):
    """out[b,t,n] = sum_k kernel[t-k,n] values[b,k,n], by torch's convolution with one group a neuron."""
    n_steps, n_out = kernel.shape
    padded = torch.nn.functional.pad(values.transpose(1, 2), (n_steps - 1, 0))
    flipped = kernel.flip(0).T.reshape(n_out, 1, n_steps)
    return torch.nn.functional.conv1d(padded, flipped, groups=n_out).transpose(1, 2)


def membrane_of(spikes, weight, bias, decay):
    n_steps = spikes.shape[1]
    powers = decay[None, :] ** torch.arange(n_steps, dtype=decay.dtype)[:, None]
    return convolve(spikes @ weight + bias, powers)


def surrogate_step(distance, scale):
    """The step, with the derivative of the fast sigmoid in the backward pass."""

    class Step(torch.autograd.Function):
        @staticmethod
        def forward(context, u):
            context.save_for_backward(u)
            return (u > 0).to(u.dtype)

        @staticmethod
        def backward(context, grad):
            (u,) = context.saved_tensors
            return grad / (1 + scale * u.abs()) ** 2

    return Step.apply(distance)


def first_only(z, gradient):
    """S = 1 where z is 1, with one of the paper's two derivatives."""

    class First(torch.autograd.Function):
        @staticmethod
        def forward(context, z):
            context.save_for_backward(z)
            return (z == 1).to(z.dtype)

        @staticmethod
        def backward(context, grad):
            (z,) = context.saved_tensors
            return grad * (z == 0) if gradient == "gated" else grad

    return First.apply(z)


def layer(spikes, weight, bias, decay, threshold, surrogate_scale, gradient):
    membrane = membrane_of(spikes, weight, bias, decay)
    crossings = surrogate_step(membrane - threshold, surrogate_scale)
    ramp = torch.arange(1, spikes.shape[1] + 1, dtype=weight.dtype)[:, None].expand(-1, weight.shape[1])
    return first_only(convolve(crossings, ramp), gradient), membrane


def forward(spikes, weight, bias, decay, threshold):
    arguments = (torch.from_numpy(array) for array in (spikes, weight, bias, decay))
    return layer(*arguments, threshold, 10.0, "gated")


def backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):
    leaves = [torch.from_numpy(array).requires_grad_() for array in (spikes, weight, bias, decay)]
    output, _ = layer(*leaves, threshold, surrogate_scale, gradient)
    output.backward(torch.from_numpy(grad_spikes))
    return {name: leaf.grad for name, leaf in zip(("spikes", "weight", "bias", "decay"), leaves)}


def main():
    report = check(forward, backward)
    print(report)
    print(f"\n{'quantity':<30} largest error / bound")
    for name, ratio in report.ratios.items():
        print(f"{name:<30} {ratio:.3f}")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
