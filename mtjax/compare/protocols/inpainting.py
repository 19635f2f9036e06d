"""Missing pixels, beside the pictures that the authors of IRCNN (Zhang, Zuo, Gu and Zhang, 2017) published."""

from functools import partial
from pathlib import Path

import numpy as np

from mtjax.compare.protocols import methods
from mtjax.compare.protocols.measures import stored_psnr
from mtjax.compare.protocols.pictures import array_file, read
from mtjax.compare.protocols.protocol import Case, Method, Protocol, Setting
from mtjax.physics import Mask

PICTURES = {  # by setting: the picture, and its file name's end without "_masked.png"
    "Barbara, gray, 50 % missing": ("09", "09_50"),
    "butterfly, gray, 75 % missing": ("butterfly_gray", "butterfly_gray_75"),
    "butterfly, color, 80 % missing": ("butterfly_color", "butterfly_color_80"),
}


def masked(image: np.ndarray, data: Path, stem: str) -> Case:
    """The published picture, in which a missing pixel is black in all channels."""
    y = (read(array_file(data, f"{stem}_masked.png")) / 255).astype(np.float32)
    return Case(image, y, Mask(y.any(-1, keepdims=True).astype(np.float32)), 0.0)


INPAINTING = Protocol(
    name="inpaint",
    title="Inpainting of single pixels",
    rules=(
        "The masked pictures as published, a missing pixel being black, without noise; the result is rounded to 8 "
        "bits; PSNR over the whole picture, known pixels included. IRCNN's figures are of the pictures that its "
        "authors published."
    ),
    unit="PSNR in dB",
    measure=stored_psnr,
    settings=tuple(
        Setting(
            name,
            ("Inpaint_set1", "set1"),
            (partial(masked, stem=stem),),
            only=(picture,),
            results={"IRCNN": f"{stem}_ircnn.png"},
        )
        for name, (picture, stem) in PICTURES.items()
    ),
    methods=(
        Method("masked", lambda y, operator, sigma, value: y),
        Method("normalized convolution", methods.estimate),
        methods.TV_WEIGHT,
        Method("PnP-BM3D", partial(methods.pnp_bm3d, iterations=20), note="DPIR's schedule of 20 iterations"),
    ),
    results="pictures of the repository cszn/IRCNN",
)
