"""A run of seconds with every kind of state: two observations, three tasks, learned weights, two optimizers."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.data = dict(
        source="faulty_source:faulty", size=16, train=40, validation=6, test=6, batch_size=4, eval_batch_size=4,
        augment=dict(flip=True, crop=2),
    )  # fmt: skip
    c.observations = dict(
        blurred=dict(operator=dict(kind="blur", std=1.0), noise=dict(kind="gaussian", sigma=0.02)),
        masked=dict(operator=dict(kind="mask", keep=0.5), noise=dict(kind="gaussian", sigma=(0.0, 0.05))),
    )
    c.tasks = dict(
        deblur=dict(kind="reconstruction", observation="blurred", head=dict(kind="decoder", width=4, depth=1)),
        digit=dict(kind="classification", observation="masked"),
        edges=dict(kind="boundary", observation="masked", head=dict(kind="dense", width=4)),
    )
    c.model = dict(encoder=dict(kind="unet", width=4, depth=2), sharing=dict(kind="hard", adapt="bias"))
    c.weighting = dict(kind="uncertainty")
    c.optimizer = dict(kind="adamw", lr=1e-3, per_task=dict(digit=dict(kind="sgd", lr=1e-2)))
    c.train = dict(steps=60, checkpoint_every=7, log_every=3)
    return c
