"""A small world to compare in: a source of smooth images, and a network whose head is a fixed filter."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import ndimage

from mtjax import data, solvers, weighting
from mtjax.data import Source, SourceInfo
from mtjax.models import ENCODERS, SHARINGS, MultiTask
from mtjax.record import locked
from mtjax.tasks import TASKS
from mtjax.train.balancing import Balancing
from mtjax.train.evaluation import Trained
from mtjax.train.step import Experiment, observe_for_evaluation

INFO = SourceInfo("fake", {"image": (24, 24, 3)}, {}, (24, 24, 3))
SIZES = {"train": 4, "validation": 6, "test": 11}


class Smooth(Source):
    """Smooth random images; remembers which were asked for."""

    info = INFO

    def __init__(self, split):
        self.split, self.asked = split, []

    def __len__(self):
        return SIZES[self.split]

    def __getitem__(self, index):
        self.asked.append(index)
        noise = np.random.default_rng((sorted(SIZES).index(self.split), index)).normal(size=(24, 24, 3))
        smooth = ndimage.gaussian_filter(noise, (2.0, 2.0, 0), mode="wrap")
        return {"image": np.uint8(np.clip(smooth / smooth.std() * 50 + 128, 0, 255))}


class Filter(nn.Module):
    """A head that is the Laplacian Wiener filter, with the noise-to-signal ratio as its only parameter."""

    @nn.compact
    def __call__(self, pyramid, observed):
        ratio = self.param("ratio", nn.initializers.constant(0.02), ())
        return solvers.wiener(observed.y, observed.operator, ratio, "laplacian").image


@pytest.fixture
def sources(monkeypatch):
    """Every source that was built, by split."""
    built = {}

    def fake(split, /, *, size=24):
        return built.setdefault(split, Smooth(split))

    monkeypatch.setitem(data.SOURCES, "fake", fake)
    return built


@pytest.fixture
def trained(sources):
    blur = {"operator": {"kind": "blur", "std": 1.5}, "noise": {"kind": "gaussian", "sigma": 0.02}}
    half = {"operator": {"kind": "downsample", "factor": 2}, "noise": {"kind": "gaussian", "sigma": 0.01}}
    config = locked(
        {
            "data": {"source": "fake", "batch_size": 4, "eval_batch_size": 4},
            "observations": {"blurred": blur, "small": half},
            "model": {"encoder": {"kind": "unet"}},
            "compare": {"deblur": [{"kind": "wiener", "regularizer": "white"}]},
        }
    )
    tasks = {
        "deblur": TASKS["reconstruction"]("deblur", INFO, observation="blurred"),
        "enlarge": TASKS["super_resolution"]("enlarge", INFO, observation="small"),
    }
    model = MultiTask(
        encoder=ENCODERS["unet"](None, width=4, depth=1),
        sharing=SHARINGS["hard"](tuple(tasks)),
        heads={name: Filter() for name in tasks},
        reads={name: task.observation for name, task in tasks.items()},
    )
    start = observe_for_evaluation(config.observations, jnp.arange(1), {"image": jnp.zeros((1, *INFO.image_shape))})
    experiment = Experiment(
        model=model,
        tasks=tasks,
        observations=dict(config.observations),
        balancing=Balancing(weighting.make("equal", names=tuple(tasks))),
        optimizer=optax.sgd(1.0),
        augmentation={},
        steps_per_epoch=1,
    )
    return Trained(config, experiment, model.init(jax.random.key(0), start), INFO, 7)


@pytest.fixture
def evaluations(tmp_path):
    """What a training together and one of `deblur` alone would have left."""

    def write(folder, values):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "evaluation.json").write_text(json.dumps({"step": 7, "validation": {}, "test": values}))

    write(
        tmp_path,
        {"deblur/psnr": 33.0, "deblur/ssim": 0.9, "deblur/loss": 0.1, "enlarge/psnr": 30.0, "enlarge/ssim": 0.8},
    )
    write(tmp_path / "single" / "deblur", {"deblur/psnr": 30.0, "deblur/ssim": 0.9, "deblur/loss": 0.1})
    return tmp_path
