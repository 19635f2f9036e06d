"""Task-specific networks: `head(pyramid, observed) -> prediction`, one file each.

An entry of `HEADS` is called with the precision and the number of outputs that the task asks for, then with the
parameters of its config node.
"""

from mtjax.models.heads.decoder import decoder
from mtjax.models.heads.dense import dense
from mtjax.models.heads.estimate import estimate
from mtjax.models.heads.pooled import pooled
from mtjax.models.heads.unrolled import unrolled
from mtjax.models.heads.upscale import upscale

HEADS = {
    "decoder": decoder,
    "dense": dense,
    "estimate": estimate,
    "pooled": pooled,
    "unrolled": unrolled,
    "upscale": upscale,
}

__all__ = ["HEADS", "decoder", "dense", "estimate", "pooled", "unrolled", "upscale"]
