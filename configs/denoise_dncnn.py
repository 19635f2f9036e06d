"""Gaussian noise of any strength up to 56 of 255, taken from gray photographs: DnCNN's rules, FFDNet's network.

    mtjax train --config=configs/denoise_dncnn.py --config.data.path=Train400 --workdir=runs/denoise
    mtjax protocol denoise_gray --data=FOLDER --workdir=runs/denoise       # Set12 is a folder in FOLDER
    mtjax protocol deblur_levin --data=FOLDER --workdir=runs/denoise       # the denoiser of plug and play

Train400 is a folder of 400 gray photographs of 180×180 pixels. The network is told the noise's level. It is small (8
convolutions of 48 channels at half the resolution, 0.17 M parameters; the paper's has 0.5 M) and sees 32,000 patches,
where papers train for days.

On one CPU core: 5 min. PSNR on Set12, three seeds: 31.14 ± 0.06 at σ = 15, 28.92 ± 0.06 at 25, 25.86 ± 0.06 at 50;
BM3D 32.35, 29.94, 26.69; TV 30.63, 28.10, 25.07. Residual blocks of the same size
(`--config.model.encoder.kind=edsr --config.model.encoder.stem=2 --config.model.encoder.width=48
--config.model.encoder.depth=4 --config.optimizer.lr=1e-3`) reach 31.36 ± 0.20, 29.12 ± 0.20, 26.09 ± 0.17 in 6 min.

The latter with `--config.train.steps=5000`, 15 min, one seed: 31.81, 29.51, 26.39. A longer run of a larger network is
expected to add most of what is missing to the published 30.44 dB at σ = 25:
`--config.train.steps=200000 --config.model.encoder.width=64 --config.model.encoder.depth=15`. It wants a GPU, and was
not run.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.data = dict(
        source="folder", path="Train400", size=64, channels=1, crops=8, validation=0.05, test=0.05,
        batch_size=16, eval_batch_size=20, augment=dict(flip=True),
    )  # fmt: skip
    c.observations = dict(
        noisy=dict(operator=dict(kind="identity"), noise=dict(kind="gaussian", sigma=(0.0, 0.22))),
    )
    c.tasks = dict(
        denoise=dict(kind="reconstruction", observation="noisy", head=dict(kind="decoder", depth=0), loss="l1"),
    )
    c.model = dict(encoder=dict(kind="dncnn", width=48, depth=8), sharing=dict(kind="hard"))
    c.weighting = dict(kind="equal")
    c.optimizer = dict(kind="adamw", lr=2e-3, schedule=dict(kind="warmup_cosine", warmup=100, final=0.01))
    c.train = dict(steps=2000, seed=0, eval_every=500)
    c.compare = dict(denoise=[dict(kind="wiener"), dict(kind="denoise_tv"), dict(kind="denoise_bm3d")])
    return c
