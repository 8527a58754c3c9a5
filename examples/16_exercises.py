"""An exercise sheet: five wrong layers, to be repaired from what the oracle says of them.

Run one of them: ``python examples/16_exercises.py 1``; without a number all five are tried and a table says which rules
they break. Each has one mistake. Read the report: it begins with the broken rule, says where to look, and shows the
smallest case found, which can be worked by hand. Then mend the function here and run it again.
"""

import sys

import numpy as np

from minisnn.oracle import check


def integrate(current, decay):
    """V of every step. This one is right, and so is `surrogate`."""
    membrane, v = np.empty_like(current), np.zeros_like(current[:, 0])
    for t in range(current.shape[1]):
        v = decay * v + current[:, t]
        membrane[:, t] = v
    return membrane


def surrogate(distance, scale):
    return 1 / (1 + np.asarray(scale, distance.dtype) * np.abs(distance)) ** 2


def first_exercise(spikes, weight, bias, decay, threshold):
    membrane = integrate(spikes @ weight + bias, decay)
    fired = membrane > threshold
    fired[:, 1:] &= ~fired[:, :-1]
    return fired, membrane


def second_exercise(spikes, weight, bias, decay, threshold):
    membrane = integrate(spikes @ weight + bias, decay)
    above = membrane > 1
    return above & (np.cumsum(above, axis=1) == 1), membrane


def third_exercise(spikes, weight, bias, decay, threshold):
    membrane = integrate(spikes @ weight + bias, decay[0])
    above = membrane > threshold
    return above & (np.cumsum(above, axis=1) == 1), membrane


def right_layer(spikes, weight, bias, decay, threshold):
    membrane = integrate(spikes @ weight + bias, decay)
    above = membrane > threshold
    return above & (np.cumsum(above, axis=1) == 1), membrane


def fourth_exercise(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):
    fired, membrane = right_layer(spikes, weight, bias, decay, threshold)
    if gradient == "gated":
        grad_spikes = grad_spikes * (np.cumsum(fired, axis=1) == 0)
    grad_crossings = np.cumsum(grad_spikes[:, ::-1], axis=1)[:, ::-1]
    grad_u = grad_crossings * surrogate(membrane - np.asarray(threshold, weight.dtype), surrogate_scale)
    grad_current = integrate(grad_u[:, ::-1], decay)[:, ::-1]
    return {"weight": np.einsum("bti,btn->in", spikes, grad_current), "bias": grad_current.sum(axis=(0, 1))}


def fifth_exercise(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):
    fired, membrane = right_layer(spikes, weight, bias, decay, threshold)
    if gradient == "gated":
        grad_spikes = grad_spikes * (np.cumsum(fired, axis=1) == 0)
    grad_crossings = np.cumsum(np.cumsum(grad_spikes[:, ::-1], axis=1), axis=1)[:, ::-1]
    grad_u = grad_crossings * surrogate(membrane - np.asarray(threshold, weight.dtype), surrogate_scale)
    grad_current = integrate(grad_u, decay)
    return {"weight": np.einsum("bti,btn->in", spikes, grad_current), "bias": grad_current.sum(axis=(0, 1))}


EXERCISES = {
    1: (first_exercise,),
    2: (second_exercise,),
    3: (third_exercise,),
    4: (right_layer, fourth_exercise),
    5: (right_layer, fifth_exercise),
}


def main(arguments):
    if arguments:
        print(check(*EXERCISES[int(arguments[0])], dtype="float32", examples=20))
        return
    print("exercise   what the oracle says")
    for number, functions in EXERCISES.items():
        report = check(*functions, dtype="float32", examples=20)
        print(f"{number:8}   {report.findings[0].diagnosis.text if report.findings else 'right'}")


if __name__ == "__main__":
    main(sys.argv[1:])
