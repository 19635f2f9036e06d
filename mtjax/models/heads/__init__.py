"""Task-specific networks: `head(pyramid, observed) -> prediction`, one file each.

An entry of `HEADS` is called with the precision and the number of outputs that the task asks for, then with the
parameters of its config node.
"""

from mtjax.models.heads.bilateral_grid import bilateral_grid
from mtjax.models.heads.boxes import boxes
from mtjax.models.heads.burst import burst
from mtjax.models.heads.chroma import chroma
from mtjax.models.heads.compression import bottleneck
from mtjax.models.heads.correlation import correlation
from mtjax.models.heads.decoder import decoder
from mtjax.models.heads.deeplab import deeplab
from mtjax.models.heads.dense import dense
from mtjax.models.heads.detail import detail
from mtjax.models.heads.estimate import estimate
from mtjax.models.heads.fcn import fcn
from mtjax.models.heads.implicit import implicit
from mtjax.models.heads.lut import lut
from mtjax.models.heads.nafnet_decoder import nafnet_decoder
from mtjax.models.heads.pooled import pooled
from mtjax.models.heads.realtime import realtime
from mtjax.models.heads.reference import reference
from mtjax.models.heads.unet_decoder import unet_decoder
from mtjax.models.heads.unrolled import unrolled
from mtjax.models.heads.upscale import upscale
from mtjax.models.heads.velocity import velocity

HEADS = {
    "bilateral_grid": bilateral_grid,
    "bottleneck": bottleneck,
    "boxes": boxes,
    "burst": burst,
    "chroma": chroma,
    "correlation": correlation,
    "decoder": decoder,
    "deeplab": deeplab,
    "dense": dense,
    "detail": detail,
    "estimate": estimate,
    "fcn": fcn,
    "implicit": implicit,
    "lut": lut,
    "nafnet_decoder": nafnet_decoder,
    "pooled": pooled,
    "realtime": realtime,
    "reference": reference,
    "unet_decoder": unet_decoder,
    "unrolled": unrolled,
    "upscale": upscale,
    "velocity": velocity,
}

__all__ = [
    "HEADS",
    "bilateral_grid",
    "bottleneck",
    "boxes",
    "burst",
    "chroma",
    "correlation",
    "decoder",
    "deeplab",
    "dense",
    "detail",
    "estimate",
    "fcn",
    "implicit",
    "lut",
    "nafnet_decoder",
    "pooled",
    "realtime",
    "reference",
    "unet_decoder",
    "unrolled",
    "upscale",
    "velocity",
]
