"""Weightings and sharings side by side on digits over photographs: four tasks, small enough for many runs.

    mtjax ablate --config=configs/ablation_scenes.py --workdir=runs/ablation --seeds=3
    mtjax train --config=configs/ablation_scenes.py --workdir=runs/ablation_scenes

The tasks are those of `quickstart.py` without inpainting, on smaller pictures, with plain heads and equal weights.

On 2 cores, beside other work, one run: 77 s in all, 50 s of CPU time. Test split, seed 0: deblurring 24.57 dB, digit
accuracy 0.508 and still rising, boundary F 0.914, segmentation mIoU 0.109 (background everywhere: 0.075).
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.data = dict(source="digit_scenes", size=32, batch_size=16, eval_batch_size=64)
    c.observations = dict(
        blurred=dict(
            operator=dict(kind="blur", kernel="gaussian", std=1.0),
            noise=dict(kind="gaussian", sigma=0.02),
        ),
    )
    maps = dict(kind="dense", width=16)
    c.tasks = dict(
        deblur=dict(kind="reconstruction", observation="blurred", head=dict(kind="decoder", width=16, depth=1)),
        digit=dict(kind="classification", observation="blurred", head=dict(kind="pooled", width=64)),
        segment=dict(kind="segmentation", observation="blurred", head=maps, loss=dict(cross_entropy=1.0, dice=1.0)),
        edges=dict(kind="boundary", observation="blurred", head=maps),
    )
    c.model = dict(encoder=dict(kind="unet", width=16, depth=3, stem=2), sharing=dict(kind="hard"))
    c.weighting = dict(kind="equal")
    c.optimizer = dict(kind="adamw", lr=2e-3, b2=0.95, schedule=dict(kind="warmup_cosine", warmup=30, final=0.05))
    c.train = dict(steps=800, seed=0, eval_every=200)
    return c
