"""The small transforms with which BM3D makes groups of patches sparse, as matrices."""

import numpy as np
from jaxtyping import Float64

Matrix = Float64[np.ndarray, "n n"]


def cosine(size: int) -> Matrix:
    """The orthonormal discrete cosine transform (II)."""
    frequency, place = np.arange(size)[:, None], np.arange(size)[None, :]
    matrix = np.sqrt(2 / size) * np.cos(np.pi * frequency * (2 * place + 1) / (2 * size))
    matrix[0] /= np.sqrt(2)
    return matrix


def spline(size: int) -> Matrix:
    """The periodic biorthogonal spline wavelet 1.5, down to one mean; rows of length 1, so white noise stays as large.

    `size` is a power of 2 (Cohen, Daubechies and Feauveau, 1992).
    """
    low = np.sqrt(2) / 256 * np.array([3, -3, -22, 22, 128, 128, 22, -22, -3, 3])
    high = np.sqrt(0.5) * np.array([0, 0, 0, 0, 1, -1, 0, 0, 0, 0])
    matrix = _wavelet(size, low, high)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def haar(size: int) -> Matrix:
    """The orthonormal Haar transform; `size` is a power of 2."""
    return _wavelet(size, np.sqrt(0.5) * np.array([1, 1]), np.sqrt(0.5) * np.array([1, -1]))


def haar_by_level(most: int) -> Float64[np.ndarray, "levels n n"]:
    """`haar(1)`, `haar(2)`, ..., `haar(most)`, each in the corner of zeros `[most, most]`."""
    levels = int(most).bit_length()
    matrices = np.zeros((levels, most, most))
    for level in range(levels):
        matrices[level, : 2**level, : 2**level] = haar(2**level)
    return matrices


def _wavelet(size: int, low: np.ndarray, high: np.ndarray) -> Matrix:
    """The matrix of a periodic wavelet transform by the two filters, coarse coefficients first."""
    matrix = np.eye(size)
    length = size
    while length > 1:
        stage = np.zeros((length, length))
        for k in range(length // 2):
            for offset, (coarse, fine) in enumerate(zip(low, high, strict=True)):
                place = (2 * k + offset - len(low) // 2 + 1) % length
                stage[k, place] += coarse
                stage[length // 2 + k, place] += fine
        matrix[:length] = stage @ matrix[:length]
        length //= 2
    return matrix
