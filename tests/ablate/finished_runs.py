"""Folders as finished runs leave them, without training."""

import json

from mtjax.ablate.cost import Cost
from mtjax.ablate.plan import make_plan
from mtjax.ablate.results import collect
from mtjax.config import resolve
from mtjax.data.fields import SourceInfo
from mtjax.tasks import TASKS

INFO = SourceInfo(
    "fake",
    {"image": (8, 8, 3), "label": (), "boundary": (8, 8)},
    {"label": ("a", "b")},
    (8, 8, 3),
)
OBSERVATION = {"operator": {"kind": "identity"}, "noise": {"kind": "gaussian"}}
RAW = {
    "data": {"source": "digit_scenes"},
    "observations": {"seen": OBSERVATION},
    "tasks": {
        "deblur": {"kind": "reconstruction", "observation": "seen"},
        "digit": {"kind": "classification", "observation": "seen"},
    },
}
ENVIRONMENT = {"device": "cpu", "platform": "cpu", "cores": 2, "jax": "0.10"}
METRICS = {"deblur": ("psnr", "ssim"), "digit": ("accuracy", "f1", "precision", "recall")}


class World:
    """A plan and the folder of its runs."""

    def __init__(self, workdir, weightings="equal,mgda", sharings="hard", seeds=3, rates=None):
        config, _ = resolve(RAW)
        self.workdir = workdir
        self.plan = make_plan(config, weightings, sharings, seeds, rates)
        self.tasks = {name: TASKS[node.kind](name, INFO, observation="seen") for name, node in config.tasks.items()}

    def ended(self, name, test, rate=1e-3, validation=1.0, seeds=(0, 1, 2)):
        """Evaluations of a method: `test` is, by task, a value per seed that all metrics of the task have."""
        for i, seed in enumerate(seeds):
            folder = self.workdir / "runs" / f"{name}-lr{rate:g}" / f"seed-{seed}"
            folder.mkdir(parents=True)
            scores = {f"{task}/{m}": values[i] for task, values in test.items() for m in METRICS[task]}
            losses = {f"{task}/loss": validation for task in test}
            found = {"step": 1, "validation": losses, "test": {**scores, **dict.fromkeys(losses, 99.0)}}
            (folder / "evaluation.json").write_text(json.dumps(found))

    def cost(self, name, seconds):
        """What a step of a method takes."""
        file = self.workdir / "costs" / f"{name}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(vars(Cost(seconds, 2**20, 1000))))

    def collect(self, failed={}):
        return collect(self.plan, self.workdir, self.tasks, failed, ENVIRONMENT)
