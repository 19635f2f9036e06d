"""The configs of catalog sets: each is read, and traced through its network and losses, on data of the right form."""

import pathlib
import sys

import numpy as np
import pytest
from shared_data import save
from test_coco import content
from test_coco import write as write_coco
from test_voc import DOG, listed
from test_voc import write as write_voc
from traced_recipe import resolved, traced

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"
PREPARED = {
    "cifar10": ("cifar10", ("train", "test")),
    "pets": ("oxford_iiit_pet", ("train", "test")),
    "celeba": ("celeb_a", ("train", "validation", "test")),
}


def describe(name, splits, folder):
    """Writes what TFDS writes beside the examples of a prepared set, of which there are ten in each split."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import naming

    builder = tfds.builder(name, data_dir=str(folder), file_format="array_record")
    place = pathlib.Path(builder.data_path)
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[10],
            num_bytes=0,
            filename_template=naming.ShardedFileTemplate(
                dataset_name=builder.name, data_dir=place, split=split, filetype_suffix="array_record"
            ),
        )
        for split in splits
    ]
    builder.info.set_splits(tfds.core.splits.SplitDict(infos))
    place.mkdir(parents=True)
    builder.info.write_to_directory(place)


@pytest.mark.parametrize("file", PREPARED)
def test_sets_that_tfds_prepares(file, tmp_path):
    """On random examples of the form that TFDS declares, and without TensorFlow."""
    import tensorflow_datasets as tfds

    name, splits = PREPARED[file]
    describe(name, splits, tmp_path)
    with tfds.testing.mock_data(num_examples=10, data_dir=str(tmp_path)):
        source, batch, _ = traced(resolved(CONFIGS / f"{file}.py", [f"--config.data.data_dir={tmp_path}"]))
        assert batch["image"].shape[1:] == source.info.image_shape and np.ptp(batch["image"]) > 0
        for field, names in source.info.class_names.items():
            assert (batch[field] >= 0).all() and (batch[field] < len(names)).all()
    assert "tensorflow" not in sys.modules


def test_div2k(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i:04}.png", np.random.default_rng(i).integers(0, 256, (100, 150, 3)))
    source, _, _ = traced(resolved(CONFIGS / "div2k.py", [f"--config.data.path={tmp_path}"]))
    assert len(source) == 8


def test_coco_and_voc(tmp_path):
    write_coco(tmp_path / "coco", "train2017", content(0, 4))
    write_coco(tmp_path / "coco", "val2017", content(100, 2))
    for name in ("a", "b", "c"):
        write_voc(tmp_path / "voc", name, [DOG], np.full((20, 30), 12) if name == "c" else None)
    listed(tmp_path / "voc", "train", "ab")
    listed(tmp_path / "voc", "val", "c")
    for file, folder in (("coco", "coco"), ("pascal_voc", "voc")):
        source, _, _ = traced(
            resolved(
                CONFIGS / f"{file}.py",
                [f"--config.data.path={tmp_path / folder}", f"--config.data.data_dir={tmp_path}"],
            )
        )
        assert source.info.name == folder
