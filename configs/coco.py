"""COCO: objects in a noisy photograph, where and which, and the photograph without the noise.

    mtjax train --config=configs/coco.py --config.data.path=COCO --workdir=runs/coco
    mtjax compare --workdir=runs/coco

COCO is the folder with annotations, train2017 and val2017, as they are distributed; any set in its JSON format will do.
The first run prepares a copy, as large as the pictures. Testing is val2017, validation a twentieth of train2017.

Not trained by us: no number is claimed.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.data = dict(source="coco", path="COCO", size=256, max_boxes=32, batch_size=16, augment=dict(flip=True))
    c.observations = dict(noisy=dict(operator=dict(kind="identity"), noise=dict(kind="gaussian", sigma=0.1)))
    c.tasks = dict(
        detect=dict(kind="detection", observation="noisy", head=dict(kind="boxes", width=64)),
        present=dict(kind="multilabel", observation="noisy", head=dict(kind="pooled", width=256)),
        denoise=dict(kind="reconstruction", observation="noisy", head=dict(kind="decoder", width=32)),
    )
    c.model = dict(encoder=dict(kind="unet", width=48, depth=4, stem=2), sharing=dict(kind="hard"))
    c.weighting = dict(kind="uncertainty")
    c.optimizer = dict(kind="adamw", lr=1e-3, schedule=dict(kind="warmup_cosine", warmup=1000))
    c.train = dict(steps=100000, seed=0, ema=0.999, eval_every=10000)
    c.compare = dict(denoise=[dict(kind="wiener"), dict(kind="denoise_tv")])
    return c
