"""Training: the loop, what it writes down, and experiments made of it."""

from .evaluation import EpochMetrics, Evaluation, chosen_epoch, evaluate
from .loop import TrainingConfig, train

__all__ = ["EpochMetrics", "Evaluation", "TrainingConfig", "chosen_epoch", "evaluate", "train"]
