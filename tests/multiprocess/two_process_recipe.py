"""A run of seconds whose batches four devices can share, with a metric that needs the whole split."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.data = dict(source="digit_scenes", size=16, train=40, validation=6, test=6, batch_size=4, eval_batch_size=4)
    c.observations = dict(
        blurred=dict(operator=dict(kind="blur", std=1.0), noise=dict(kind="gaussian", sigma=0.02)),
    )  # fmt: skip
    c.tasks = dict(
        digit=dict(kind="classification", observation="blurred"),
        edges=dict(kind="boundary", observation="blurred", head=dict(kind="dense", width=4)),
    )
    c.model = dict(encoder=dict(kind="unet", width=4, depth=1), sharing=dict(kind="hard"))
    c.weighting = dict(kind="uncertainty")
    c.optimizer = dict(kind="sgd", lr=1e-2)
    c.train = dict(steps=40, eval_every=20, checkpoint_every=20, log_every=2, ema=0.5)
    return c
