"""Motion blur and noise taken from gray photographs: ADMM unrolled, every example with a path of its own.

    mtjax train --config=configs/deblur_motion.py --config.data.path=Train400 --workdir=runs/deblur
    mtjax protocol deblur_levin_gray --data=FOLDER --workdir=runs/deblur    # Set12 is a folder in FOLDER,
    mtjax protocol deblur_levin --data=FOLDER --workdir=runs/deblur         # and so are Set3C and levin09.npz's

Train400 is a folder of 400 gray photographs of 180×180 pixels. In training each is moved along a random path within
23×23 pixels, with noise of 1.3 to 10 of 255; the network is told kernel and noise, and never sees a kernel of the
tests (0.7 M parameters).

On one CPU core, beside other work: 4 to 6 min. Levin's eight kernels on Set12 01 to 07, three seeds: 30.29 ± 0.05 dB at
σ = 2.55, 26.96 ± 0.06 at 7.65; hyper-Laplacian prior with the best of ten weights 30.43 and 26.07, Wiener 28.18 and
24.89, the denoiser of `configs/denoise_dncnn.py` (residual blocks) plugged in 30.28 ± 0.28 and 26.87 ± 0.29. On Set3C
it is above TV, and 1 to 2.4 dB below BM3D plugged in. On the cameraman's six blurs, none of them motion, it is ahead of
TV in three and behind in three (docs/results.md).

A longer run with more stages (`--config.train.steps=50000 --config.tasks.deblur.head.stages=5`) is expected to add a
decibel or two: DPIR, with a denoiser of 32 M parameters, is 3.5 to 6.4 dB above on Set3C. That was not run.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.data = dict(
        source="folder", path="Train400", size=80, channels=1, crops=8, validation=0.05, test=0.05,
        batch_size=8, eval_batch_size=20, augment=dict(flip=True),
    )  # fmt: skip
    c.observations = dict(
        moved=dict(
            operator=dict(kind="blur", kernel="random_motion", size=23),
            noise=dict(kind="gaussian", sigma=(0.005, 0.04)),
        ),
    )
    c.tasks = dict(
        deblur=dict(
            kind="reconstruction", observation="moved", loss="l1",
            head=dict(kind="unrolled", iterations=15, stages=2, width=32, depth=3),
        ),
    )  # fmt: skip
    c.model = dict(encoder=dict(kind="unet", width=32, depth=3), sharing=dict(kind="hard"))
    c.weighting = dict(kind="equal")
    c.optimizer = dict(kind="adamw", lr=1e-3, schedule=dict(kind="warmup_cosine", warmup=100, final=0.01))
    c.train = dict(steps=1000, seed=0, eval_every=500)
    c.compare = dict(deblur=[dict(kind="wiener"), dict(kind="admm", prior=dict(kind="tv"))])
    return c
