"""Gray photographs enlarged 2, 3 and 4 times by one network: EDSR's blocks, shared by three scales as in MDSR.

    mtjax train --config=configs/sr_edsr.py --config.data.path=Train400 --workdir=runs/sr
    mtjax protocol super_resolution --data=FOLDER --workdir=runs/sr       # Set5 is a folder in FOLDER

Train400 is a folder of 400 gray photographs of 180×180 pixels; what is enlarged is made of them by MATLAB's bicubic.
All three scales pass the same encoder, 5 residual blocks of 48 channels (0.3 M parameters; EDSR has 43 M).

On one CPU core, beside other work: 6 to 7 min. PSNR of the luminance on Set5, three seeds: 35.47 ± 0.24 at ×2, 31.56 ±
0.18 at ×3, 29.44 ± 0.12 at ×4; bicubic 33.66, 30.39, 28.42; ADMM-TV with the best of three weights 35.27, 31.89, 29.86.
So 5,600 patches are enough to beat bicubic interpolation, and TV at ×2 only.

A longer run is expected to pass TV at all scales, and SRCNN (36.66, 32.75, 30.48); VDSR's 37.53 and EDSR's 38.11 at ×2
want a larger network, color photographs such as DIV2K's, and a GPU. None of that was run.
"""

from ml_collections import ConfigDict

FACTORS = (2, 3, 4)


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.data = dict(
        source="folder", path="Train400", size=72, channels=1, crops=8, validation=0.05, test=0.05,
        batch_size=8, eval_batch_size=20, augment=dict(flip=True),
    )  # fmt: skip
    c.observations = {f"x{n}": dict(operator=dict(kind="bicubic", factor=n), noise=dict(kind="none")) for n in FACTORS}
    head = dict(kind="upscale", width=48, depth=0)
    c.tasks = {f"enlarge{n}": dict(kind="super_resolution", observation=f"x{n}", head=head, loss="l1") for n in FACTORS}
    c.model = dict(encoder=dict(kind="edsr", width=48, depth=5), sharing=dict(kind="hard"))
    c.weighting = dict(kind="equal")
    c.optimizer = dict(kind="adamw", lr=1e-3, schedule=dict(kind="warmup_cosine", warmup=100, final=0.01))
    c.train = dict(steps=700, seed=0, eval_every=350)
    c.compare = {f"enlarge{n}": [dict(kind="bicubic"), dict(kind="admm", prior=dict(kind="tv"))] for n in FACTORS}
    return c
