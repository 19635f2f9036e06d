"""Two tasks that compile in seconds: which of two colors a picture has, read from two kinds of noise."""

import numpy as np

from mtjax.data import Source, SourceInfo


class Colors(Source):
    """Pictures of 8x8 pixels, each of one color."""

    def __init__(self, split, /):
        self.info = SourceInfo("colors", {"image": (8, 8, 3), "label": ()}, {"label": ("dark", "light")}, (8, 8, 3))

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {"image": np.full((8, 8, 3), 20 + 30 * index, np.uint8), "label": np.int32(index > 3)}


def get_config():
    seen = dict(operator=dict(kind="identity"), noise=dict(kind="gaussian", sigma=0.02))
    node = dict(kind="classification", observation="seen", head=dict(width=4))
    return dict(
        data=dict(source="small_recipe:Colors", batch_size=4, eval_batch_size=4),
        observations=dict(seen=seen),
        tasks=dict(color=node, shade=node),
        model=dict(encoder=dict(kind="unet", width=4, depth=1)),
        optimizer=dict(kind="sgd", schedule=dict(kind="constant")),
        train=dict(steps=2, eval_every=2),
    )
