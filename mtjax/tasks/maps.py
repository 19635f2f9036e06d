"""What tasks that predict a map of numbers have in common: the field that holds it must be one."""

from mtjax.data.fields import SourceInfo


def check_map(task: str, info: SourceInfo, field: str, channels: int) -> None:
    """Raises a ValueError unless the data has the field, as a map `[H, W]`, or `[H, W, channels]` for more than one."""
    if field not in info.fields:
        raise ValueError(f"tasks.{task}: {info.name} has no field {field!r}; it has {', '.join(info.fields)}")
    shape, expected = info.fields[field], ("H", "W", channels) if channels > 1 else ("H", "W")
    if len(shape) != len(expected) or (channels > 1 and shape[-1] != channels):
        wanted = ", ".join(str(length) for length in expected)
        raise ValueError(f"tasks.{task}: field {field!r} of {info.name} has shape {shape}; expected [{wanted}]")
