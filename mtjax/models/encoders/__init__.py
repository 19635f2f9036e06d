"""Shared networks: an image in, a feature pyramid out."""

from mtjax.models.encoders.unet import unet

ENCODERS = {"unet": unet}

__all__ = ["ENCODERS", "unet"]
