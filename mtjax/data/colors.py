"""Depth, directions and displacements as colors: for sheets of data, and for pictures of predictions."""

import numpy as np

# Hues around the circle, unevenly spaced as the eye tells them apart: red, yellow, green, cyan, blue, magenta, red.
WHEEL_AT = np.array([0, 15, 21, 25, 36, 49, 55]) / 55
WHEEL = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]], np.float32)
NEAR_TO_FAR = np.array([[253, 231, 160], [240, 130, 80], [150, 50, 110], [32, 18, 62]], np.float32)


def depth_colors(depth: np.ndarray, nearest: float, farthest: float) -> np.ndarray:
    """Colors `[H, W, 3]` (uint8) of a map `[H, W]`: near is warm and light, far is cold and dark; unknown is black."""
    span = farthest - nearest
    known = np.isfinite(depth)
    far = np.where(known, depth - nearest, 0) / (span if span > 0 else 1)
    stops = np.linspace(0, 1, len(NEAR_TO_FAR))
    levels = np.stack([np.interp(far, stops, NEAR_TO_FAR[:, channel]) for channel in range(3)], -1)
    return (levels * known[..., None]).astype(np.uint8)


def normal_colors(normals: np.ndarray) -> np.ndarray:
    """Colors `[H, W, 3]` (uint8) of unit vectors `[H, W, 3]` (x right, y down, z toward the viewer); unknown is black.

    Red grows to the right, green upward and blue toward the viewer, as normal maps are stored in graphics.
    """
    known = np.linalg.norm(normals, axis=-1, keepdims=True) > 0
    return np.round(np.clip(normals * [1, -1, 1] + 1, 0, 2) * 127.5 * known).astype(np.uint8)


def flow_colors(flow: np.ndarray, longest: float) -> np.ndarray:
    """Colors `[H, W, 3]` (uint8) of displacements `[H, W, 2]` (down, right): white where nothing moves.

    The hue is the direction, red to the right, and saturation grows up to the length `longest`; beyond, colors darken.
    Source: Baker et al., "A database and evaluation methodology for optical flow", IJCV 92, 2011 (the wheel of its
    Middlebury benchmark).
    """
    turn = np.mod(np.arctan2(flow[..., 0], flow[..., 1]) / (2 * np.pi), 1)
    hue = np.stack([np.interp(turn, WHEEL_AT, WHEEL[:, channel]) for channel in range(3)], -1)
    length = (np.linalg.norm(flow, axis=-1) / longest)[..., None]
    color = np.where(length <= 1, 1 - length * (1 - hue), 0.75 * hue)
    return np.round(255 * color).astype(np.uint8)
