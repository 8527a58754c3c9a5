"""The equations as plain scalar Python. Imports nothing of minisnn: a reference must not be its own witness.

Arrays are nested lists, indexed [sample][step][neuron]; `decay` is a list with one entry per neuron.
"""


def zeros(*shape):
    if not shape:
        return 0.0
    return [zeros(*shape[1:]) for _ in range(shape[0])]


def current(x, weight, bias):
    batch, steps, n_out = len(x), len(x[0]), len(bias)
    out = zeros(batch, steps, n_out)
    for b in range(batch):
        for t in range(steps):
            for j in range(n_out):
                out[b][t][j] = sum(x[b][t][i] * weight[i][j] for i in range(len(weight))) + bias[j]
    return out


def single_spike_forward(x, weight, bias, decay, threshold):
    """V, the faulty spikes S~, their double sum z, and S, each [b][t][j]."""
    drive = current(x, weight, bias)
    batch, steps, n_out = len(x), len(x[0]), len(bias)
    v, faulty, z, s = (zeros(batch, steps, n_out) for _ in range(4))
    for b in range(batch):
        for j in range(n_out):
            for t in range(steps):
                v[b][t][j] = (decay[j] * v[b][t - 1][j] if t else 0.0) + drive[b][t][j]
                faulty[b][t][j] = 1 if v[b][t][j] > threshold else 0
                z[b][t][j] = sum((t - k + 1) * faulty[b][k][j] for k in range(t + 1))
                s[b][t][j] = 1 if z[b][t][j] == 1 else 0
    return v, faulty, z, s


def surrogate(u, scale):
    return 1 / (1 + scale * abs(u)) ** 2


def collect(x, weight, decay, v, gi):
    """Gradients of everything that entered the layer, from gI."""
    batch, steps, n_in, n_out = len(x), len(x[0]), len(weight), len(weight[0])
    grads = {
        "spikes": zeros(batch, steps, n_in),
        "weight": zeros(n_in, n_out),
        "bias": zeros(n_out),
        "decay": zeros(n_out),
    }
    for b in range(batch):
        for t in range(steps):
            for j in range(n_out):
                grads["bias"][j] += gi[b][t][j]
                if t:
                    grads["decay"][j] += gi[b][t][j] * v[b][t - 1][j]
                for i in range(n_in):
                    grads["weight"][i][j] += x[b][t][i] * gi[b][t][j]
                    grads["spikes"][b][t][i] += gi[b][t][j] * weight[i][j]
    return grads


def single_spike_backward(x, weight, bias, decay, threshold, scale, gradient, gs, gv):
    """gz, gS~ and the gradients."""
    v, _, z, _ = single_spike_forward(x, weight, bias, decay, threshold)
    batch, steps, n_out = len(x), len(x[0]), len(bias)
    gz, gfaulty, gi = (zeros(batch, steps, n_out) for _ in range(3))
    for b in range(batch):
        for j in range(n_out):
            for t in range(steps):
                open_gate = gradient == "straight-through" or z[b][t][j] == 0
                gz[b][t][j] = gs[b][t][j] if open_gate else 0.0
            for t in reversed(range(steps)):
                gfaulty[b][t][j] = sum((k - t + 1) * gz[b][k][j] for k in range(t, steps))
                gu = gfaulty[b][t][j] * surrogate(v[b][t][j] - threshold, scale) + gv[b][t][j]
                gi[b][t][j] = gu + (decay[j] * gi[b][t + 1][j] if t + 1 < steps else 0.0)
    return gz, gfaulty, collect(x, weight, decay, v, gi) | {"current": gi}


def multi_spike_forward(x, weight, bias, decay, threshold):
    """U, S and V."""
    drive = current(x, weight, bias)
    batch, steps, n_out = len(x), len(x[0]), len(bias)
    u, s, v = (zeros(batch, steps, n_out) for _ in range(3))
    for b in range(batch):
        for j in range(n_out):
            for t in range(steps):
                u[b][t][j] = (decay[j] * v[b][t - 1][j] if t else 0.0) + drive[b][t][j]
                s[b][t][j] = 1 if u[b][t][j] > threshold else 0
                v[b][t][j] = u[b][t][j] - threshold * s[b][t][j]
    return u, s, v


def multi_spike_backward(x, weight, bias, decay, threshold, scale, detach_reset, gs, gv):
    u, _, v = multi_spike_forward(x, weight, bias, decay, threshold)
    batch, steps, n_out = len(x), len(x[0]), len(bias)
    gi = zeros(batch, steps, n_out)
    for b in range(batch):
        for j in range(n_out):
            for t in reversed(range(steps)):
                by_v = gv[b][t][j] + (decay[j] * gi[b][t + 1][j] if t + 1 < steps else 0.0)
                by_s = gs[b][t][j] - (0.0 if detach_reset else threshold * by_v)
                gi[b][t][j] = by_v + by_s * surrogate(u[b][t][j] - threshold, scale)
    return collect(x, weight, decay, v, gi) | {"current": gi}


def readout_forward(x, weight, bias, decay, readout, logit_scale):
    """U, logits, and the steps of the first maxima."""
    drive = current(x, weight, bias)
    batch, steps, n_out = len(x), len(x[0]), len(bias)
    u, logits, peaks = zeros(batch, steps, n_out), zeros(batch, n_out), zeros(batch, n_out)
    for b in range(batch):
        for o in range(n_out):
            for t in range(steps):
                u[b][t][o] = (decay[o] * u[b][t - 1][o] if t else 0.0) + drive[b][t][o]
            over_time = [u[b][t][o] for t in range(steps)]
            peaks[b][o] = over_time.index(max(over_time))
            logits[b][o] = logit_scale * (max(over_time) if readout == "max" else sum(over_time))
    return u, logits, peaks


def readout_backward(x, weight, bias, decay, readout, logit_scale, glogits):
    u, _, peaks = readout_forward(x, weight, bias, decay, readout, logit_scale)
    batch, steps, n_out = len(x), len(x[0]), len(bias)
    gu = zeros(batch, steps, n_out)
    for b in range(batch):
        for o in range(n_out):
            for t in reversed(range(steps)):
                reached = readout == "sum" or t == peaks[b][o]
                gu[b][t][o] = logit_scale * glogits[b][o] if reached else 0.0
                gu[b][t][o] += decay[o] * gu[b][t + 1][o] if t + 1 < steps else 0.0
    return collect(x, weight, decay, u, gu) | {"current": gu}
