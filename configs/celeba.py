"""CelebA: faces four times as large to each side, and faces whose missing half of the pixels is filled in.

    mtjax train --config=configs/celeba.py --config.data.data_dir=TFDS --workdir=runs/celeba
    mtjax compare --workdir=runs/celeba

It must have been prepared once where TensorFlow is, which mtjax never needs itself:

    tfds build celeb_a --file_format=array_record --data_dir=TFDS

The splits are the official ones. Not trained by us: no number is claimed.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.data = dict(source="tfds", name="celeb_a", size=64, batch_size=32, augment=dict(flip=True))
    c.observations = dict(
        small=dict(operator=dict(kind="bicubic", factor=4), noise=dict(kind="none")),
        masked=dict(operator=dict(kind="mask", keep=0.5), noise=dict(kind="none")),
    )
    c.tasks = dict(
        enlarge=dict(kind="super_resolution", observation="small", head=dict(kind="upscale", width=32)),
        inpaint=dict(kind="reconstruction", observation="masked", head=dict(kind="decoder", width=32)),
    )
    c.model = dict(encoder=dict(kind="unet", width=32, depth=3), sharing=dict(kind="hard"))
    c.weighting = dict(kind="equal")
    c.optimizer = dict(kind="adamw", lr=1e-3, schedule=dict(kind="warmup_cosine", warmup=500))
    c.train = dict(steps=20000, seed=0, eval_every=2000)
    c.compare = dict(
        enlarge=[dict(kind="bicubic"), dict(kind="admm", prior=dict(kind="tv"))],
        inpaint=[dict(kind="admm", prior=dict(kind="tv"))],
    )
    return c
