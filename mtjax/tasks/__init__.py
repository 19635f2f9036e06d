"""What a head can be asked for, one file per kind of task.

An entry of `TASKS` is called with the task's name and what is known of the data, then with the parameters of its
config node.
"""

from mtjax.tasks.boundary import boundary
from mtjax.tasks.classification import classification
from mtjax.tasks.color import color
from mtjax.tasks.compression import compression
from mtjax.tasks.depth import depth
from mtjax.tasks.detail import detail
from mtjax.tasks.detection import detection
from mtjax.tasks.flow import flow
from mtjax.tasks.generation import generation
from mtjax.tasks.instances import instances
from mtjax.tasks.multilabel import multilabel
from mtjax.tasks.normals import normals
from mtjax.tasks.reconstruction import reconstruction
from mtjax.tasks.saliency import saliency
from mtjax.tasks.segmentation import segmentation
from mtjax.tasks.super_resolution import super_resolution
from mtjax.tasks.task import Task, masked

TASKS = {
    "boundary": boundary,
    "classification": classification,
    "color": color,
    "compression": compression,
    "depth": depth,
    "detail": detail,
    "detection": detection,
    "flow": flow,
    "generation": generation,
    "instances": instances,
    "multilabel": multilabel,
    "normals": normals,
    "reconstruction": reconstruction,
    "saliency": saliency,
    "segmentation": segmentation,
    "super_resolution": super_resolution,
}

__all__ = [
    "TASKS",
    "Task",
    "boundary",
    "classification",
    "color",
    "compression",
    "depth",
    "detail",
    "detection",
    "flow",
    "generation",
    "instances",
    "masked",
    "multilabel",
    "normals",
    "reconstruction",
    "saliency",
    "segmentation",
    "super_resolution",
]
