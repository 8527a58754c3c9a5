"""Your own time series: events at threshold crossings, a network trained on them, a look at its spikes.

    python examples/30_own_time_series.py [--data FILE] [--epochs 40] [--seed 0] [--out FOLDER]

The experiment is the function `experiment` below; the rest brings the data and draws `own_time_series.png` (needs
matplotlib: pip install '.[plot]').

The data are Braille letters under a robot's fingertip: 26 letters and the space, 50 times each, 12 touch sensors
(eight of which never stir) and 77 steps (Mueller-Cleve et al., Frontiers in Neuroscience 16:951164, 2022), from
`braille_taxels.npz`, given by --data or found in the folder `braille` of MINISNN_DATA. The first 40 repetitions are
for training, the other 10 for the test; thresholds, size and learning rate were chosen by training on repetitions 0
to 29 and testing on 30 to 39. Without the file, series are made up: noisy sine bursts that pass over three channels,
in one of six orders.
"""

import argparse
import itertools
import os
from pathlib import Path

import numpy as np

import minisnn
from minisnn.datasets import EventSamples, threshold_crossings
from minisnn.training import colours

try:
    from matplotlib.figure import Figure

    from minisnn.training import plotting
except ImportError as error:
    raise SystemExit(f"needs matplotlib: pip install '.[plot]' in a clone of minisnn ({error})") from None

N_THRESHOLDS = 32


def experiment(series, labels, in_training, epochs, seed):
    """Time series (samples, steps, channels) and their classes in; thresholds, network, data and metrics out."""
    largest = np.abs(series[in_training]).max()
    thresholds = np.linspace(-largest, largest, N_THRESHOLDS + 2)[1:-1]  # the same for every channel
    events = threshold_crossings(series, thresholds)
    train, test = (EventSamples(events[part], labels[part]) for part in (in_training, ~in_training))
    n_classes = labels.max() + 1
    data = minisnn.Dataset("own", train, test, events.n_neurons, n_classes, events.n_steps)
    sizes = (events.n_neurons, 200, n_classes)
    network = minisnn.Network.random(minisnn.NetworkConfig(sizes, logit_scale=0.3), seed)
    config = minisnn.TrainingConfig(epochs=epochs, batch_size=32, lr=3e-3, seed=seed)
    return thresholds, network, data, minisnn.train(network, data, config, quiet=False)


def braille(path):
    """Change of the readings since the start, letters, which recordings are for training, names, unit."""
    arrays = np.load(path)
    series = arrays["data"].astype(float)
    # The resting level drifts from letter to letter: the mean of the first five steps, before the finger has met a
    # dot, gives 44 % of the test letters away to a nearest neighbour. What counts here is the change since then.
    series -= series[:, :5].mean(axis=1, keepdims=True)
    return series, arrays["label"].astype(int), arrays["repetition"] < 40, list(arrays["letters"]), "readings"


def made_up(n_samples=900, n_steps=60):
    """Bursts of three periods of a sine that pass over three channels in the order of the class, with noise."""
    rng = np.random.default_rng(0)
    orders = np.array(list(itertools.permutations(range(3))))
    labels = rng.integers(0, len(orders), n_samples)
    start = 15 * orders[labels][:, None, :] + rng.normal(3, 2, (n_samples, 1, 3))
    phase = (np.arange(n_steps)[:, None] - start) / 20
    series = np.where((phase > 0) & (phase < 1), np.sin(6 * np.pi * phase), 0)
    series += rng.normal(0, 0.1, series.shape)
    return series, labels, np.arange(n_samples) < 600, ["".join(map(str, order)) for order in orders], "a.u."


def draw(series, thresholds, unit, names, label, events, activity):
    """One sample from top to bottom: its series, its events, the hidden spikes, the readout."""
    figure = Figure(figsize=(9, 10), layout="constrained")
    top, inputs, hidden, readout = figure.subplots(4, 1, sharex=True, height_ratios=(1.4, 1.2, 1.2, 1.4))
    top.hlines(thresholds, 0, len(series) - 1, color="0.85", linewidth=0.7, label="thresholds")
    for channel in np.flatnonzero(np.ptp(series, axis=0)):
        colour = colours.COLOURS[channel % len(colours.COLOURS)]
        top.plot(series[:, channel], color=colour, label=f"channel {channel}")
    low, high = series.min(), series.max()
    top.set(ylabel=f"change ({unit})", ylim=(low - 0.1 * (high - low), high + 0.1 * (high - low)))
    top.legend(**plotting.BESIDE)
    _, steps, neurons = np.nonzero(events.to_raster())
    directions = (colours.INPUT, "upwards"), (colours.ANSWER, "downwards")
    for down, (colour, name) in enumerate(directions):
        chosen = neurons % 2 == down
        inputs.scatter(steps[chosen], neurons[chosen], marker="|", color=colour, label=name)
    inputs.set(ylabel="input neuron", ylim=(-0.03 * events.n_neurons, 1.03 * events.n_neurons))
    inputs.legend(**plotting.BESIDE, title="crossings")
    plotting.draw_raster(hidden, activity.hidden[0].spikes[0], "hidden neuron", colours.SPIKE)
    plotting.draw_readout(readout, activity, label, names)
    readout.set_xlabel("time (steps)")
    readout.legend(**plotting.BESIDE, title="class (others grey)")
    n_spikes = activity.spike_counts().sum()
    figure.suptitle(
        f"A test sample of class {names[label]}: {len(steps)} events in, {n_spikes} hidden spikes"
    )
    return figure


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="the file braille_taxels.npz")
    parser.add_argument("--epochs", type=int, default=40, help="passes over the training samples")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and of the order of samples")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture")
    args = parser.parse_args(arguments)
    path = args.data or Path(os.environ.get("MINISNN_DATA", "")) / "braille" / "braille_taxels.npz"
    if args.data is not None and not path.is_file():
        parser.error(f"{path} is not there: --data must be the file braille_taxels.npz")
    found = path.is_file()
    series, labels, in_training, names, unit = braille(path) if found else made_up()
    print(f"time series: {path if found else 'made up (no file braille_taxels.npz)'}, shape {series.shape}")

    thresholds, network, data, history = experiment(series, labels, in_training, args.epochs, args.seed)

    last = history[-1]
    print(
        f"epoch {last.epoch}: accuracy {100 * last.train_accuracy:.2f} % of {len(data.train)} training samples, "
        f"{100 * last.test_accuracy:.2f} % of {len(data.test)} test samples"
    )
    print(f"{last.spikes_per_sample:.1f} of {network.config.sizes[1]} hidden neurons fire per test sample")
    # The test sample that moves most.
    sample = np.flatnonzero(~in_training)[np.ptp(series[~in_training], axis=1).sum(axis=1).argmax()]
    events = threshold_crossings(series[[sample]], thresholds)
    figure = draw(series[sample], thresholds, unit, names, labels[sample], events, network.forward(events))
    args.out.mkdir(parents=True, exist_ok=True)
    print(f"picture {plotting.save(figure, args.out / 'own_time_series.png')}")


if __name__ == "__main__":
    main()
