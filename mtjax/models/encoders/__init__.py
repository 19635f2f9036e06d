"""Shared networks: an image in, a feature pyramid out."""

from mtjax.models.encoders.nafnet import nafnet
from mtjax.models.encoders.resnet import resnet
from mtjax.models.encoders.unet import unet
from mtjax.models.encoders.vit import vit

ENCODERS = {"nafnet": nafnet, "resnet": resnet, "unet": unet, "vit": vit}

__all__ = ["ENCODERS", "nafnet", "resnet", "unet", "vit"]
