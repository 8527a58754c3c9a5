"""Training: the loop, its metrics and run folders, and experiments."""

from .evaluation import evaluate
from .loop import TrainingConfig, train
from .metrics import EpochMetrics, Evaluation, chosen_epoch
from .runs import RunFolder

__all__ = ["EpochMetrics", "Evaluation", "RunFolder", "TrainingConfig", "chosen_epoch", "evaluate", "train"]
