"""CIFAR-10: what a small, noisy picture shows, and the picture without the noise.

    mtjax train --config=configs/cifar10.py --config.data.data_dir=TFDS --workdir=runs/cifar10
    mtjax compare --workdir=runs/cifar10

It must have been prepared once where TensorFlow is, which mtjax never needs itself:

    tfds build cifar10 --file_format=array_record --data_dir=TFDS

Validation is the last tenth of the training pictures. Not trained by us: no number is claimed.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    splits = dict(train="train[:90%]", validation="train[90%:]", test="test")
    c.data = dict(source="tfds", name="cifar10", splits=splits, size=32, batch_size=64, augment=dict(flip=True, crop=4))
    c.observations = dict(noisy=dict(operator=dict(kind="identity"), noise=dict(kind="gaussian", sigma=0.1)))
    c.tasks = dict(
        object=dict(kind="classification", observation="noisy", head=dict(kind="pooled", width=128)),
        denoise=dict(kind="reconstruction", observation="noisy", head=dict(kind="decoder", width=32, depth=1)),
    )
    c.model = dict(encoder=dict(kind="unet", width=32, depth=3), sharing=dict(kind="hard"))
    c.weighting = dict(kind="uncertainty")
    c.optimizer = dict(kind="adamw", lr=1e-3, schedule=dict(kind="warmup_cosine", warmup=500))
    c.train = dict(steps=20000, seed=0, eval_every=2000)
    c.compare = dict(denoise=[dict(kind="wiener"), dict(kind="denoise_tv")])
    return c
