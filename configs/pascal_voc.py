"""Pascal VOC: objects, classes of pixels and their boundaries in a blurred photograph, and the photograph itself.

    mtjax train --config=configs/pascal_voc.py --config.data.path=VOC --workdir=runs/pascal_voc
    mtjax compare --workdir=runs/pascal_voc

VOC is the folder with JPEGImages and Annotations, such as VOCdevkit/VOC2012; any set in its layout will do, with
`--config.data.classes` its own names. Pictures without a map of classes train the other tasks alone.

Not trained by us: no number is claimed.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.data = dict(
        source="voc", path="VOC", size=192, max_boxes=16, batch_size=16, augment=dict(flip=True, scale=(0.8, 1.5))
    )
    c.observations = dict(
        blurred=dict(
            operator=dict(kind="blur", kernel="gaussian", std=2.0),
            noise=dict(kind="gaussian", sigma=0.02),
        ),
    )
    maps = dict(kind="unet_decoder", width=48)
    c.tasks = dict(
        detect=dict(kind="detection", observation="blurred", head=dict(kind="boxes", width=64)),
        segment=dict(kind="segmentation", observation="blurred", head=maps),
        edges=dict(kind="boundary", observation="blurred", head=maps),
        present=dict(kind="multilabel", observation="blurred", head=dict(kind="pooled", width=256)),
        deblur=dict(kind="reconstruction", observation="blurred", head=dict(kind="decoder", width=32)),
    )
    c.model = dict(encoder=dict(kind="unet", width=48, depth=4, stem=2), sharing=dict(kind="hard"))
    c.weighting = dict(kind="uncertainty")
    c.optimizer = dict(kind="adamw", lr=1e-3, schedule=dict(kind="warmup_cosine", warmup=1000))
    c.train = dict(steps=50000, seed=0, ema=0.999, eval_every=5000)
    c.compare = dict(deblur=[dict(kind="wiener"), dict(kind="admm", prior=dict(kind="tv"))])
    return c
