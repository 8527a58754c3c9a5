"""Digits by single spikes, beside scikit-learn's MLPClassifier of the same size: accuracy, time, spikes.

    python examples/31_digits_beside_an_mlp.py [--hidden 100] [--folds 5] [--seed 0]

The 1797 digits of 8 x 8 pixels come with scikit-learn (pip install '.[sklearn]' in a clone). Both classifiers are
trained on the same folds, in turns, each with its own defaults and on one thread. The defaults of
SingleSpikeClassifier were chosen on folds of these digits among others, those of MLPClassifier were not.
"""

import argparse
import time
import warnings

import numpy as np

from minisnn.solvers.settings import settings

try:
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import StratifiedKFold
    from sklearn.neural_network import MLPClassifier

    from minisnn.sklearn import SingleSpikeClassifier
except ImportError as error:
    raise SystemExit(
        f"needs scikit-learn: pip install '.[sklearn]' in a clone of minisnn ({error})"
    ) from None


def experiment(hidden, n_folds, seed, epochs=60):
    """Test accuracies and fit times (n_folds,) of both by name; mean hidden spikes and neurons of the first."""
    features, labels = load_digits(return_X_y=True)
    accuracy, seconds = {"single spikes": [], "MLP": []}, {"single spikes": [], "MLP": []}
    spikes = []
    for train, test in StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(features, labels):
        classifiers = {
            "single spikes": SingleSpikeClassifier((hidden,), epochs=epochs, random_state=seed),
            "MLP": MLPClassifier((hidden,), random_state=seed),
        }
        for name, classifier in classifiers.items():
            started = time.perf_counter()
            with warnings.catch_warnings(), settings(n_threads=1):
                warnings.simplefilter("ignore", ConvergenceWarning)  # 200 epochs are its default
                classifier.fit(features[train], labels[train])
            seconds[name].append(time.perf_counter() - started)
            accuracy[name].append(classifier.score(features[test], labels[test]))
        spikes.append(classifiers["single spikes"].spikes_per_sample(features[test]))
    return accuracy, seconds, float(np.mean(spikes))


def main(arguments=None):
    """Run the experiment and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, value in (("--hidden", 100), ("--folds", 5), ("--seed", 0), ("--epochs", 60)):
        parser.add_argument(option, type=int, default=value)
    args = parser.parse_args(arguments)
    accuracy, seconds, spikes = experiment(args.hidden, args.folds, args.seed, args.epochs)
    print(f"{args.folds} folds of 1797 digits, {args.hidden} hidden neurons: mean +- s.d. over folds")
    for name in accuracy:
        print(
            f"{name:14s} accuracy {100 * np.mean(accuracy[name]):.2f} +- {100 * np.std(accuracy[name], ddof=1):.2f} %, "
            f"fit {np.median(seconds[name]):.2f} s (median)"
        )
    print(
        f"hidden spikes per sample: {spikes:.1f} of at most {args.hidden}; every hidden unit of the MLP is computed"
    )


if __name__ == "__main__":
    main()
