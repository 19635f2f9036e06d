"""Batches: a function of (seed, k), the same for any number of processes, each example once per epoch."""

import itertools

import numpy as np
import pytest

from mtjax import data
from mtjax.data import pipeline
from mtjax.data.fields import Source, SourceInfo


class Numbers(Source):
    """Example i is a 1×1 picture of value i; training adds noise to it; every fifth has no label."""

    def __init__(self, count):
        self.count = count
        self.info = SourceInfo("numbers", {"image": (1, 1, 1), "label": ()}, {}, (1, 1, 1), wide=True)
        self.read = []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.read.append(index)
        example = {"image": np.full((1, 1, 1), index, np.float32)}
        return example if index % 5 == 0 else {**example, "label": np.asarray(index)}

    def sample(self, index, rng):
        example = self[index]
        return {**example, "image": example["image"] + rng.random((1, 1, 1), np.float32)}


def same(one, other):
    assert one.keys() == other.keys()
    for field, value in one.items():
        if isinstance(value, dict):
            same(value, other[field])
        else:
            np.testing.assert_array_equal(value, other[field])
            assert value.dtype == other[field].dtype


def take(batches, count):
    taken = list(itertools.islice(batches, count))
    batches.close()
    return taken


def test_resuming_and_asking_directly_give_the_same_batches():
    source = Numbers(10)
    run = take(pipeline.TrainBatches(source, 4, seed=3), 9)
    for start in (0, 1, 5, 7):
        for offset, batch in enumerate(take(pipeline.TrainBatches(source, 4, seed=3, start_step=start), 2)):
            same(batch, run[start + offset])
    same(pipeline.batch_at(source, 4, 3, 6), run[6])


def test_another_seed_is_another_order_and_other_crops():
    source = Numbers(64)
    one, other = (pipeline.batch_at(source, 64, seed, 0) for seed in (0, 1))
    assert (one["index"] != other["index"]).any()
    fraction = [np.sort(b["image"].ravel() % 1) for b in (one, other)]
    assert (fraction[0] != fraction[1]).all()


def test_each_epoch_visits_each_example_once_in_its_own_order():
    source = Numbers(10)
    batches = take(pipeline.TrainBatches(source, 4, seed=0), 15)  # 60 examples: 6 epochs, ends inside batches
    order = np.concatenate([batch["index"] for batch in batches]).reshape(6, 10)
    np.testing.assert_array_equal(np.sort(order, 1), np.tile(np.arange(10), (6, 1)))
    assert len({tuple(epoch) for epoch in order}) == 6
    noise = np.concatenate([batch["image"].ravel() % 1 for batch in batches])
    assert len(np.unique(noise)) == 60


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_the_same_global_batch_and_read_only_their_part(processes):
    whole = pipeline.batch_at(Numbers(20), 8, 0, 5)
    parts = []
    for process in range(processes):
        source = Numbers(20)
        parts.append(pipeline.batch_at(source, 8, 0, 5, (process, processes)))
        assert len(source.read) == 8 // processes
    for field in ("image", "label", "index", "position"):
        np.testing.assert_array_equal(np.concatenate([part[field] for part in parts]), whole[field])


@pytest.mark.parametrize(("count", "size"), [(10, 4), (8, 4), (3, 8), (1, 1)])
def test_evaluation_counts_each_example_once_in_order(count, size):
    batches = list(pipeline.eval_batches(Numbers(count), size))
    index = np.concatenate([batch["index"] for batch in batches])
    valid = np.concatenate([batch["valid"]["image"] for batch in batches])
    np.testing.assert_array_equal(index[index >= 0], np.arange(count))
    np.testing.assert_array_equal(valid, index >= 0)
    np.testing.assert_array_equal(np.concatenate([b["image"].ravel() for b in batches])[:count], np.arange(count))
    assert all(len(batch["image"]) == size for batch in batches)


def test_evaluation_in_two_processes_is_the_same_evaluation():
    whole = list(pipeline.eval_batches(Numbers(11), 4))
    parts = [list(pipeline.eval_batches(Numbers(11), 4, (process, 2))) for process in range(2)]
    for k, batch in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[k]["index"] for part in parts]), batch["index"])


def test_a_missing_label_is_masked():
    batch = next(pipeline.eval_batches(Numbers(10), 10))
    np.testing.assert_array_equal(batch["valid"]["label"], np.arange(10) % 5 != 0)
    np.testing.assert_array_equal(batch["valid"]["image"], True)


def test_types_of_a_batch(scenes):
    batch = pipeline.batch_at(scenes("train"), 4, 0, 0)
    for field in scenes("train").info.fields:
        assert batch[field].dtype == data.FIELDS[field][0]
    assert batch["index"].dtype == batch["position"].dtype == np.int32
    device = data.to_device_batch(batch)
    assert device["image"].dtype == np.float32
    np.testing.assert_allclose(device["image"], batch["image"] / np.float32(255), rtol=1e-6)


def test_an_example_of_another_shape_is_named():
    class Odd(Numbers):
        def __getitem__(self, index):
            return {"image": np.zeros((2, 1, 1), np.float32)}

    with pytest.raises(ValueError, match=r"numbers: field 'image' has shape \(2, 1, 1\), expected \(1, 1, 1\)"):
        next(pipeline.eval_batches(Odd(1), 1))


@pytest.mark.parametrize(
    ("size", "shard", "message"), [(0, (0, 1), "batch_size=0"), (3, (0, 2), "batch_size=3"), (4, (2, 2), "shard=")]
)
def test_bad_arguments(size, shard, message):
    with pytest.raises(ValueError, match=message):
        pipeline.batch_at(Numbers(4), size, 0, 0, shard)
