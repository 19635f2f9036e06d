"""Forward models `y = A x + e`: linear operators with exact adjoints, noise, and observations made of the two.

`OPERATORS` and `NOISES` are the kinds that a config may name: see `catalog.py`.
"""

from mtjax.physics import kernels
from mtjax.physics.algebra import Compose, Scaled, Stack, Sum
from mtjax.physics.blur import BOUNDARIES, Blur, Crop
from mtjax.physics.catalog import NOISES, OPERATORS
from mtjax.physics.frames import Frames, join_frames, split_frames
from mtjax.physics.noise import GaussianNoise, Noise, NoNoise
from mtjax.physics.observation import Observation, Observed, observe
from mtjax.physics.operator import Identity, Operator
from mtjax.physics.sampling import Downsample, Mask
from mtjax.physics.warp import Shift, Warp, affine_flow, grid, homography_flow, scale_homography, shift_flow

__all__ = [
    "BOUNDARIES", "NOISES", "OPERATORS", "Blur", "Compose", "Crop", "Downsample", "Frames", "GaussianNoise",
    "Identity", "Mask", "NoNoise", "Noise", "Observation", "Observed", "Operator", "Scaled", "Shift", "Stack", "Sum",
    "Warp", "affine_flow", "grid", "homography_flow", "join_frames", "kernels", "observe", "scale_homography",
    "shift_flow", "split_frames",
]  # fmt: skip
