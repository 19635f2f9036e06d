"""What a head can be asked for, one file per kind of task.

An entry of `TASKS` is called with the task's name and what is known of the data, then with the parameters of its
config node.
"""

from mtjax.tasks.boundary import boundary
from mtjax.tasks.classification import classification
from mtjax.tasks.reconstruction import reconstruction
from mtjax.tasks.segmentation import segmentation
from mtjax.tasks.super_resolution import super_resolution
from mtjax.tasks.task import Task, masked

TASKS = {
    "boundary": boundary,
    "classification": classification,
    "reconstruction": reconstruction,
    "segmentation": segmentation,
    "super_resolution": super_resolution,
}

__all__ = [
    "TASKS",
    "Task",
    "boundary",
    "classification",
    "masked",
    "reconstruction",
    "segmentation",
    "super_resolution",
]
