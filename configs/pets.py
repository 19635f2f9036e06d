"""Oxford-IIIT Pet: the breed of a cat or dog in a blurred photograph, and the photograph without the blur.

    mtjax train --config=configs/pets.py --config.data.data_dir=TFDS --workdir=runs/pets
    mtjax compare --workdir=runs/pets

It must have been prepared once where TensorFlow is, which mtjax never needs itself:

    tfds build oxford_iiit_pet --file_format=array_record --data_dir=TFDS

Validation is the last fifth of the training pictures. Not trained by us: no number is claimed.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    splits = dict(train="train[:80%]", validation="train[80%:]", test="test")
    c.data = dict(
        source="tfds", name="oxford_iiit_pet", splits=splits, size=128, batch_size=32, augment=dict(flip=True, crop=8)
    )
    c.observations = dict(
        blurred=dict(
            operator=dict(kind="blur", kernel="gaussian", std=2.0),
            noise=dict(kind="gaussian", sigma=0.02),
        ),
    )
    c.tasks = dict(
        breed=dict(kind="classification", observation="blurred", head=dict(kind="pooled", width=256)),
        deblur=dict(kind="reconstruction", observation="blurred", head=dict(kind="decoder", width=32)),
    )
    c.model = dict(encoder=dict(kind="unet", width=32, depth=4, stem=2), sharing=dict(kind="hard"))
    c.weighting = dict(kind="uncertainty")
    c.optimizer = dict(kind="adamw", lr=1e-3, schedule=dict(kind="warmup_cosine", warmup=500))
    c.train = dict(steps=20000, seed=0, eval_every=2000)
    c.compare = dict(deblur=[dict(kind="wiener"), dict(kind="admm", prior=dict(kind="tv"))])
    return c
