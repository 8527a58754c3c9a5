"""Training: the loop, what it writes down, and experiments made of it."""

from .evaluation import evaluate
from .loop import TrainingConfig, train
from .metrics import EpochMetrics, Evaluation, chosen_epoch
from .runs import RunFolder

__all__ = ["EpochMetrics", "Evaluation", "RunFolder", "TrainingConfig", "chosen_epoch", "evaluate", "train"]
