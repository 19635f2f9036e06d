"""From a source to batches. Batch k is a function of (seed, k) alone, whatever the number of processes.

So training resumes by asking for batch `start_step`, without an iterator's state, and on another number of hosts.
Reading and decoding run in threads, never in forked processes, which JAX does not survive.
"""

import math
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mtjax.data.fields import Source, collate

PREFETCH = 8  # batches kept ready


class TrainBatches:
    """An endless iterator over training batches, from batch `start_step` on, read ahead by threads.

    Every epoch visits each example once, in an order of its own; a batch may hold the end of one epoch and the start
    of the next. Where a source mixes others, that is so for each of them, and they take turns in exact proportion.
    `shard` = (process index, number of processes): each process gets its consecutive part of the global
    batch of `batch_size` examples and reads nothing else.
    """

    def __init__(
        self, source: Source, batch_size: int, seed: int, start_step: int = 0, shard: tuple[int, int] = (0, 1)
    ):
        self._batches = iter(_threaded(_train_dataset(source, batch_size, seed, shard)[start_step:]))

    def __iter__(self) -> "TrainBatches":
        return self

    def __next__(self) -> dict[str, Any]:
        return next(self._batches)

    def close(self) -> None:
        """Stops the reading threads; the iterator gives nothing afterwards."""
        self._batches.close()


def batch_at(source: Source, batch_size: int, seed: int, step: int, shard: tuple[int, int] = (0, 1)) -> dict[str, Any]:
    """Training batch number `step`, by itself: what `TrainBatches` gives at that step."""
    return _train_dataset(source, batch_size, seed, shard)[step]


def eval_batches(source: Source, batch_size: int, shard: tuple[int, int] = (0, 1)) -> Iterator[dict[str, Any]]:
    """All examples of a source in order, each once; the last batch is filled up with `index` -1 and `valid` False."""
    import grain

    local = _local_positions(source, batch_size, shard)
    starts = grain.MapDataset.range(0, len(source), batch_size)

    def load(start: int) -> dict[str, Any]:
        indices = start + local
        inside = indices < len(source)
        examples = [source[int(i)] if there else {} for i, there in zip(indices, inside, strict=True)]
        return _batch(source, examples, np.where(inside, indices, -1), local)

    batches = iter(_threaded(starts.map(load)))
    try:
        yield from batches
    finally:
        batches.close()


def _train_dataset(source: Source, batch_size: int, seed: int, shard: tuple[int, int]) -> Any:
    """Grain's random-access data set whose element k is the local part of training batch k."""
    local = _local_positions(source, batch_size, shard)

    def load(step: int, indices: np.ndarray) -> dict[str, Any]:
        mine = indices[local]
        rngs = [np.random.default_rng((seed % 2**32, step, int(position))) for position in local]
        return _batch(source, [source.sample(int(i), rng) for i, rng in zip(mine, rngs, strict=True)], mine, local)

    return _order(source, seed).batch(batch_size).map_with_index(load)


def _order(source: Source, seed: int) -> Any:
    """Grain's endless data set whose element k is the number of the k-th example of training."""
    import grain

    orders, start = [], 0
    for part, (count, _) in enumerate(source.shares()):
        numbers = grain.MapDataset.range(start, start + count)
        orders.append(numbers.shuffle(seed=(seed + part) % 2**32).repeat())  # shuffled anew in every epoch
        start += count
    weights = [weight for _, weight in source.shares()]
    return orders[0] if len(orders) == 1 else grain.MapDataset.source(_Turns(orders, weights))


class _Turns:
    """Several endless orders that take turns, so that each period has exactly its share of each."""

    def __init__(self, orders: Sequence[Any], weights: Sequence[Any]):
        scale = math.lcm(*(weight.denominator for weight in weights))
        self._orders, self._weights = orders, [int(weight * scale) for weight in weights]

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: int) -> Any:
        # Of the first n elements, the first order has n × its share, rounded up; the others share the rest likewise.
        before, after, left = index, index + 1, sum(self._weights)
        for order, weight in zip(self._orders[:-1], self._weights, strict=False):
            rest_before, rest_after = (n * (left - weight) // left for n in (before, after))
            if rest_before == rest_after:
                return order[before - rest_before]
            before, after, left = rest_before, rest_after, left - weight
        return self._orders[-1][before]


def _batch(source: Source, examples: list[Any], indices: np.ndarray, positions: np.ndarray) -> dict[str, Any]:
    batch = collate(examples, source.info)
    batch["index"], batch["position"] = indices.astype(np.int32), positions.astype(np.int32)
    return batch


def _local_positions(source: Source, batch_size: int, shard: tuple[int, int]) -> np.ndarray:
    """Which places of the global batch belong to this process."""
    process, processes = shard
    if not 0 <= process < processes:
        raise ValueError(f"shard={shard}: expected (process index, number of processes)")
    if batch_size < 1 or batch_size % processes:
        raise ValueError(f"batch_size={batch_size}: expected a positive multiple of the {processes} processes")
    if len(source) == 0:
        raise ValueError(f"{source.info.name}: the split is empty")
    size = batch_size // processes
    return np.arange(process * size, (process + 1) * size)


def _threaded(dataset: Any) -> Any:
    """Reads a Grain data set ahead with a few threads."""
    import grain

    threads = min(4, os.cpu_count() or 1)
    return dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=PREFETCH))
