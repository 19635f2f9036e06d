"""DIV2K: photographs twice as large to each side, from pictures that MATLAB's bicubic made of them.

    mtjax train --config=configs/div2k.py --config.data.path=DIV2K --workdir=runs/div2k
    mtjax compare --workdir=runs/div2k

DIV2K is the folder with the pictures of high resolution, such as DIV2K_train_HR; the small ones are made as training
goes. A tenth of the files is for validation and a tenth for testing. TFDS has the set too, but mtjax's source of that
name would shrink a photograph to the size of a cut, where this one cuts.

Not trained by us: no number is claimed.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.data = dict(
        source="folder",
        path="DIV2K",
        size=96,
        crops=8,
        longest=2048,
        batch_size=16,
        eval_batch_size=16,
        augment=dict(flip=True),
    )
    c.observations = dict(small=dict(operator=dict(kind="bicubic", factor=2), noise=dict(kind="none")))
    c.tasks = dict(
        enlarge=dict(kind="super_resolution", observation="small", head=dict(kind="upscale", width=64, depth=4)),
    )
    c.model = dict(encoder=dict(kind="unet", width=64, depth=3), sharing=dict(kind="hard"))
    c.weighting = dict(kind="equal")
    c.optimizer = dict(kind="adamw", lr=5e-4, schedule=dict(kind="warmup_cosine", warmup=500))
    c.train = dict(steps=50000, seed=0, ema=0.999, eval_every=5000)
    c.compare = dict(enlarge=[dict(kind="bicubic"), dict(kind="admm", prior=dict(kind="tv"))])
    return c
