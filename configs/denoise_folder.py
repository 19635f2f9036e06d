"""A denoiser for your own photographs: any folder of PNG, JPEG or TIFF pictures, gray or color, of any sizes.

    mtjax train --config=configs/denoise_folder.py --config.data.path=PHOTOS --workdir=runs/denoise
    mtjax compare --workdir=runs/denoise

Pictures of 64×64 pixels are cut from them. The strength of the noise is drawn anew for each between 0.02 and 0.2 of
the full range, so one network serves them all; `--config.observations.noisy.noise.sigma=0.1` fixes it.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.data = dict(source="folder", size=64, batch_size=16, augment=dict(flip=True))
    c.observations = dict(
        noisy=dict(operator=dict(kind="identity"), noise=dict(kind="gaussian", sigma=(0.02, 0.2))),
    )
    c.tasks = dict(denoise=dict(kind="reconstruction", observation="noisy", head=dict(kind="decoder")))
    c.model = dict(encoder=dict(kind="unet", width=32, depth=3), sharing=dict(kind="hard"))
    c.weighting = dict(kind="equal")
    c.optimizer = dict(kind="adamw", lr=1e-3, schedule=dict(kind="warmup_cosine", warmup=100))
    c.train = dict(steps=2000, seed=0)
    c.compare = dict(denoise=[dict(kind="wiener"), dict(kind="denoise_tv")])
    return c
