"""Shared networks: an image in, a feature pyramid out."""

from mtjax.models.encoders.dncnn import dncnn
from mtjax.models.encoders.edsr import edsr
from mtjax.models.encoders.nafnet import nafnet
from mtjax.models.encoders.resnet import resnet
from mtjax.models.encoders.unet import unet
from mtjax.models.encoders.vit import vit

ENCODERS = {"dncnn": dncnn, "edsr": edsr, "nafnet": nafnet, "resnet": resnet, "unet": unet, "vit": vit}

__all__ = ["ENCODERS", "dncnn", "edsr", "nafnet", "resnet", "unet", "vit"]
