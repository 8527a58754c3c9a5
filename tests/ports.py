"""minisnn's own solvers in the signature that the oracle and the mutants use."""

import numpy as np

import minisnn


def forward_of(solver, neuron="single-spike"):
    run = minisnn.single_spike_forward if neuron == "single-spike" else minisnn.multi_spike_forward

    def forward(spikes, weight, bias, decay, threshold):
        trace = run(spikes, weight, bias, decay, threshold=threshold, solver=solver)
        return trace.spikes, trace.membrane

    return forward


def backward_of(solver, neuron="single-spike"):
    def backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):
        if neuron == "single-spike":
            trace = minisnn.single_spike_forward(
                spikes, weight, bias, decay, threshold=threshold, solver=solver
            )
            grads = minisnn.single_spike_backward(
                trace, grad_spikes, surrogate_scale=surrogate_scale, gradient=gradient, solver=solver
            )
        else:
            trace = minisnn.multi_spike_forward(
                spikes, weight, bias, decay, threshold=threshold, solver=solver
            )
            grads = minisnn.multi_spike_backward(
                trace,
                grad_spikes,
                surrogate_scale=surrogate_scale,
                detach_reset=gradient == "detached-reset",
                solver=solver,
            )
        return {name: np.asarray(getattr(grads, name)) for name in ("spikes", "weight", "bias", "decay")}

    return backward
