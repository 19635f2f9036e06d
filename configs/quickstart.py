"""Blurred and masked pictures of digits on photographs: what is in them, and what was, on two cores and no GPU.

    mtjax train --config=configs/quickstart.py --workdir=runs/quickstart
    mtjax compare --workdir=runs/quickstart

One encoder reads two observations of the same picture. Two heads restore it: some iterations of ADMM with total
variation whose weight and penalty are learned, then a small residual network. Three heads tell what is in it.

On 2 cores: 3 to 4 min of training. Test split: deblurring 24.44 dB (tuned ADMM-TV 23.06), inpainting 23.34 dB (ADMM-TV
23.07), digit accuracy 0.699, boundary F 0.882, segmentation mIoU 0.110 (background everywhere: 0.075).
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.data = dict(source="digit_scenes", size=48, batch_size=16)
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
    unrolled = dict(kind="unrolled", iterations=8, width=24)
    maps = dict(kind="dense", width=24)
    c.tasks = dict(
        deblur=dict(
            kind="reconstruction",
            observation="blurred",
            head=dict(**unrolled, depth=2, weight=1.5e-3, rho=2e-2),
        ),
        inpaint=dict(
            kind="reconstruction",
            observation="masked",
            head=dict(**unrolled, depth=3, weight=1e-3, rho=1e-2),
        ),
        digit=dict(kind="classification", observation="blurred"),
        segment=dict(kind="segmentation", observation="blurred", head=maps, loss=dict(cross_entropy=1.0, dice=1.0)),
        edges=dict(kind="boundary", observation="blurred", head=maps),
    )
    c.model = dict(encoder=dict(kind="unet", width=24, depth=3, stem=2), sharing=dict(kind="hard"))
    # An L1 loss of an image is some twenty times smaller than a cross-entropy; digits are what takes longest to learn.
    c.weighting = dict(kind="fixed", weights=dict(deblur=5.0, inpaint=5.0, digit=2.0, segment=2.0, edges=0.5))
    c.optimizer = dict(kind="adamw", lr=1.5e-3, b2=0.95, schedule=dict(kind="warmup_cosine", warmup=50, final=0.05))
    c.train = dict(steps=600, seed=0)
    c.compare = dict(
        deblur=[dict(kind="wiener"), dict(kind="admm", prior=dict(kind="tv"))],
        inpaint=[dict(kind="bicubic"), dict(kind="admm", prior=dict(kind="tv"), rho=5e-2)],
    )
    return c
