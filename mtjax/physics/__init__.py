"""Forward models `y = A x + e`: linear operators with exact adjoints, noise, and observations made of the two.

`OPERATORS` and `NOISES` are the kinds that a config may name: see `catalog.py` and `noise_catalog.py`.
"""

from mtjax.physics import kernels
from mtjax.physics.algebra import Compose, Scaled, Stack, Sum
from mtjax.physics.blur import BOUNDARIES, Blur, Crop
from mtjax.physics.catalog import OPERATORS
from mtjax.physics.color import ColorMatrix, Mosaic
from mtjax.physics.color_cast import ColorCast
from mtjax.physics.fourier import Fourier, cartesian_mask, radial_mask
from mtjax.physics.frames import Frames, burst_operator, join_frames, split_frames
from mtjax.physics.noise import (
    FlowNoise,
    GaussianNoise,
    Noise,
    NoNoise,
    PoissonGaussianNoise,
    PoissonNoise,
    QuantizationNoise,
    SaltPepperNoise,
    SpeckleNoise,
)
from mtjax.physics.noise_catalog import NOISES
from mtjax.physics.nonlinear import Chain, Clip, Gamma, Jacobian, Jpeg, Magnitude, NonlinearOperator
from mtjax.physics.observation import Observation, Observed, observe
from mtjax.physics.operator import Identity, Operator
from mtjax.physics.resize import Bicubic, resize
from mtjax.physics.sampling import Downsample, Mask
from mtjax.physics.sensing import MatrixSensing, bernoulli_matrix, gaussian_matrix
from mtjax.physics.sharding import row_mesh
from mtjax.physics.tomography import Radon
from mtjax.physics.varying import SpaceVaryingBlur
from mtjax.physics.warp import Shift, Warp, affine_flow, grid, homography_flow, scale_homography, shift_flow

__all__ = [
    "BOUNDARIES", "NOISES", "OPERATORS", "Bicubic", "Blur", "Chain", "Clip", "ColorCast", "ColorMatrix", "Compose",
    "Crop", "Downsample", "FlowNoise", "Fourier", "Frames", "Gamma", "GaussianNoise", "Identity", "Jacobian", "Jpeg",
    "Magnitude", "Mask", "MatrixSensing", "Mosaic", "NoNoise", "Noise", "NonlinearOperator", "Observation", "Observed",
    "Operator", "PoissonGaussianNoise", "PoissonNoise", "QuantizationNoise", "Radon", "SaltPepperNoise", "Scaled",
    "Shift", "SpaceVaryingBlur", "SpeckleNoise", "Stack", "Sum", "Warp", "affine_flow", "bernoulli_matrix",
    "burst_operator", "cartesian_mask", "gaussian_matrix", "grid", "homography_flow", "join_frames", "kernels",
    "observe", "radial_mask", "resize", "row_mesh", "scale_homography", "shift_flow", "split_frames",
]  # fmt: skip
