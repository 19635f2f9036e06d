"""What tasks that predict a map have in common: the field that holds it must be one, and probabilities are gray."""

import numpy as np

from mtjax.data.fields import SourceInfo


def check_map(task: str, info: SourceInfo, field: str, channels: int) -> None:
    """Raises a ValueError unless the data has the field, as a map `[H, W]`, or `[H, W, channels]` for more than one."""
    if field not in info.fields:
        raise ValueError(f"tasks.{task}: {info.name} has no field {field!r}; it has {', '.join(info.fields)}")
    shape, expected = info.fields[field], ("H", "W", channels) if channels > 1 else ("H", "W")
    if len(shape) != len(expected) or (channels > 1 and shape[-1] != channels):
        wanted = ", ".join(str(length) for length in expected)
        raise ValueError(f"tasks.{task}: field {field!r} of {info.name} has shape {shape}; expected [{wanted}]")


def probability_picture(logits: np.ndarray) -> np.ndarray:
    """Logits `[H, W, 1]` as a picture, uint8 `[H, W, 3]`: white where the answer is surely yes."""
    gray = np.round(255 / (1 + np.exp(-logits))).astype(np.uint8)
    return np.broadcast_to(gray, (*logits.shape[:2], 3))
