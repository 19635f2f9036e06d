"""Training: the step, the loop around it, and what it leaves in its folder."""

from mtjax.train.evaluation import Trained, evaluate, restore
from mtjax.train.run import run

__all__ = ["Trained", "evaluate", "restore", "run"]
