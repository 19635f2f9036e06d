"""Scalars for TensorBoard, written without TensorFlow: TFRecord framing around hand-coded protocol buffers.

Formats, in tensorflow/core: lib/io/record_writer.h, util/event.proto, framework/summary.proto.
"""

import os
import pathlib
import socket
import struct
import time
from collections.abc import Mapping

_CRC32C = [0] * 256
for _byte in range(256):
    _crc = _byte
    for _ in range(8):
        _crc = _crc >> 1 ^ (0x82F63B78 if _crc & 1 else 0)
    _CRC32C[_byte] = _crc


def masked_crc32c(data: bytes) -> int:
    """The CRC-32C (Castagnoli) of `data`, rotated and offset as TFRecord files want it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC32C[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


class EventFile:
    """A new event file in `directory`; TensorBoard shows it together with those of earlier sessions.

    Args:
        directory: made if it is not there.
        start: the step that this session goes on from; what earlier sessions wrote of later steps is not shown.
    """

    def __init__(self, directory: pathlib.Path | str, start: int = 0):
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self._file = (directory / name).open("wb")
        self._event(_bytes(3, b"brain.Event:2"))
        self._event(_integer(2, start + 1) + _bytes(7, _integer(1, 1)))  # SessionLog.START

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one step's values, by tag."""
        summary = (_bytes(1, _bytes(1, tag.encode()) + _float(2, value)) for tag, value in values.items())
        self._event(_integer(2, step) + _bytes(5, b"".join(summary)))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _event(self, fields: bytes) -> None:
        event = _double(1, time.time()) + fields
        length = struct.pack("<Q", len(event))
        checks = struct.pack("<I", masked_crc32c(length)), struct.pack("<I", masked_crc32c(event))
        self._file.write(length + checks[0] + event + checks[1])
        self._file.flush()
