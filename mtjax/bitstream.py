"""The files of a learned codec: an image as bytes, and back.

A stream is a header of 20 bytes and the symbols, range coded. The header has the size of the image, a checksum of the
frequencies that the coder works with, and one of all the rest: a stream of another network is told from a damaged one.
"""

import binascii
import struct
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from constriction import stream as coding  # type: ignore[attr-defined]  # compiled, without stubs

from mtjax.models.heads.entropy import LARGEST, frequencies
from mtjax.photograph import view
from mtjax.train import Trained

MAGIC = b"mtjax\x00\x00\x01"
MOST = 1 << 27  # pixels of an image
HEADER = struct.Struct("<8sHHII")


class Codec:
    """A trained network's task of kind `compression`, as a pair of functions between images and bytes.

    The symbols that come out are those that went in, on any machine: the coder's frequencies are integers. The image
    is then, but for the rounding of floats on another device, the network's own.
    """

    def __init__(self, trained: Trained, task: str):
        """Compiles nothing yet. ValueError if the network has no such task."""
        kind = trained.tasks[task].kind if task in trained.tasks else "missing"
        if kind != "compression":
            raise ValueError(f"task {task!r} is {kind}; expected one of kind compression")
        model = trained.model
        self.trained, self.task, self.observation = trained, task, model.reads[task]
        self.strides: tuple[int, ...] = model.encoder.strides  # type: ignore[attr-defined]
        head: Any = model.heads[task]
        self.stride = self.strides[head.level]
        own = {name: part for name, part in trained.params["heads"][task].items() if name != "initial"}
        self.frequencies = frequencies(own["entropy"])
        self._model, self._own = model.reading(self.observation), own
        self._predict = jax.jit(lambda params, observed: self._model.apply(params, observed)[task])
        self._synthesize = jax.jit(lambda own, latent: head.apply({"params": own}, latent, self.stride, method="image"))

    def predict(self, image: np.ndarray) -> dict[str, Any]:
        """The network's prediction for an image `[H, W, C]`, which is read as the observation itself."""
        spec = self.trained.experiment.observations[self.observation]
        seen = view(spec, self.trained.source_info, image).observed(jnp.asarray(image, jnp.float32))
        return jax.device_get(self._predict(self.trained.params, {self.observation: seen}))

    def encode(self, image: np.ndarray) -> bytes:
        """The stream of an image `[H, W, C]` in [0, 1]."""
        return pack(self.predict(image)["latent"][0], self.frequencies, (image.shape[0], image.shape[1]))

    def decode(self, stream: bytes) -> np.ndarray:
        """The image of a stream, `[H, W, C]`.

        Raises:
            ValueError: not a stream, a damaged one, or one of another network.
        """
        symbols, (height, width) = unpack(stream, self.frequencies, self.strides[-1], self.stride)
        image = self._synthesize(self._own, jnp.asarray(symbols, jnp.float32)[None])
        return np.asarray(image[0, :height, :width])


def pack(symbols: np.ndarray, counts: np.ndarray, size: tuple[int, int]) -> bytes:
    """The stream of symbols `[h, w, c]`, channel after channel, for an image of this height and width."""
    if max(size) > 0xFFFF or size[0] * size[1] > MOST:
        most = f"{0xFFFF} on a side and {MOST:,} in all"
        raise ValueError(f"an image of {size[0]}x{size[1]} pixels; a stream holds at most {most}")
    coder = coding.queue.RangeEncoder()
    for channel, model in zip(np.moveaxis(symbols, -1, 0), distributions(counts), strict=True):
        coder.encode(np.ascontiguousarray(channel.reshape(-1) + LARGEST, np.int32), model)
    payload = coder.get_compressed().astype("<u4").tobytes()
    return HEADER.pack(MAGIC, *size, checksum(counts), binascii.crc32(struct.pack("<HH", *size) + payload)) + payload


def unpack(stream: bytes, counts: np.ndarray, multiple: int, stride: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The symbols `[h, w, c]` of a stream and the size of its image.

    Args:
        stream: bytes.
        counts: as in `pack`.
        multiple: what the image's sides were filled up to a multiple of.
        stride: pixels per symbol, in each direction.

    Raises:
        ValueError: not a stream, a damaged one, or one of another network.
    """
    if len(stream) < HEADER.size or not stream.startswith(MAGIC):
        raise ValueError(f"{len(stream)} bytes that are no stream of mtjax's codec")
    _, height, width, of_counts, of_rest = HEADER.unpack_from(stream)
    payload = stream[HEADER.size :]
    if len(payload) % 4 or of_rest != binascii.crc32(struct.pack("<HH", height, width) + payload):
        raise ValueError("the stream is damaged: its checksum does not fit")
    if of_counts != checksum(counts):
        raise ValueError("the stream was written by another network")
    if not 0 < height * width <= MOST:
        raise ValueError(f"the stream is of {height}x{width} pixels; expected at least one, and at most {MOST:,}")
    rows, columns = (-(-side // multiple) * multiple // stride for side in (height, width))
    coder = coding.queue.RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32))
    try:
        channels = [np.asarray(coder.decode(model, rows * columns)) for model in distributions(counts)]
    except AssertionError as error:  # what the coder raises
        raise ValueError("the stream is damaged: it holds what no symbols give") from error
    return np.stack(channels, -1).reshape(rows, columns, len(counts)) - LARGEST, (height, width)


def distributions(counts: np.ndarray) -> list[Any]:
    """The coder's distribution of each channel."""
    return [coding.model.Categorical(row.astype(np.float64), perfect=False) for row in counts]


def checksum(counts: np.ndarray) -> int:
    """Of the frequencies."""
    return binascii.crc32(counts.astype("<i8").tobytes())
