"""Blurred and masked pictures of digits on photographs: what is in them, and what was, on two cores and no GPU.

    mtjax train --config=configs/quickstart.py --workdir=runs/quickstart
    mtjax compare --workdir=runs/quickstart

One encoder reads two observations of the same picture. Two heads restore it, three tell what is in it.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.data = dict(source="digit_scenes", size=64, batch_size=16, augment=dict(flip=False))
    c.observations = dict(
        blurred=dict(
            operator=dict(kind="blur", kernel="gaussian", std=1.6),
            noise=dict(kind="gaussian", sigma=0.02),
        ),
        masked=dict(
            operator=dict(kind="mask", keep=0.4),
            noise=dict(kind="gaussian", sigma=0.01),
        ),
    )
    c.tasks = dict(
        deblur=dict(kind="reconstruction", observation="blurred", head=dict(kind="unrolled")),
        inpaint=dict(kind="reconstruction", observation="masked", head=dict(kind="unrolled")),
        digit=dict(kind="classification", observation="blurred"),
        segment=dict(kind="segmentation", observation="blurred"),
        edges=dict(kind="boundary", observation="blurred"),
    )
    c.model = dict(encoder=dict(kind="unet", width=32, depth=3), sharing=dict(kind="hard"))
    c.weighting = dict(kind="uncertainty")
    c.optimizer = dict(kind="adamw", lr=1e-3, schedule=dict(kind="warmup_cosine", warmup=100))
    c.train = dict(steps=1000, seed=0)
    c.compare = dict(
        deblur=[dict(kind="wiener"), dict(kind="admm", prior=dict(kind="tv"))],
        inpaint=[dict(kind="bicubic"), dict(kind="admm", prior=dict(kind="tv"))],
    )
    return c
