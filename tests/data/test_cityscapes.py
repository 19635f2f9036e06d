"""Cityscapes' folders: which numbers become which classes, cities that are not shared, and what is refused."""

import numpy as np
import pytest
from shared_data import refusal, save

from mtjax import data

HEIGHT, WIDTH = 8, 16
CITIES = ("aachen", "bochum", "bremen", "cologne", "hamburg", "jena", "ulm")


def labels():
    """A map with every number that there is, in rows of 16."""
    return np.concatenate([np.arange(34), [255] * 94]).reshape(HEIGHT, WIDTH)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "cityscapes"
    for part, cities in (("train", CITIES), ("val", ("lindau",))):
        for number, city in enumerate(cities):
            for frame in range(2):
                name = f"{city}/{city}_{frame:06}_000019"
                save(root / f"leftImg8bit/{part}/{name}_leftImg8bit.png", np.full((HEIGHT, WIDTH, 3), 10 * number + 1))
                save(root / f"gtFine/{part}/{name}_gtFine_labelIds.png", labels())
                save(root / f"gtFine/{part}/{name}_gtFine_instanceIds.png", labels())
    return root


def node(folder):
    return {"source": "cityscapes", "path": str(folder), "size": (8, 16), "data_dir": str(folder.parent / "made")}


def test_nineteen_classes_and_void(folder):
    source = data.build(node(folder), "test")
    names = source.info.class_names["segments"]
    assert len(source) == 2 and len(names) == 19
    segments = source[1]["segments"].ravel()
    ids = {"road": 7, "sky": 23, "person": 24, "car": 26, "train": 31, "bicycle": 33}  # of the cityscapesScripts
    assert {name: names[segments[number]] for name, number in ids.items()} == {name: name for name in ids}
    assert sorted(segments[segments != 255]) == list(range(19))
    assert (segments[[0, 4, 9, 29, 30, 40]] == 255).all()  # unlabeled, static, parking, caravan, trailer, plate


def test_no_city_is_in_two_splits(folder):
    seen = {}
    for split in ("train", "validation"):
        source = data.build(node(folder), split)
        seen[split] = {int(source[i]["image"][0, 0, 0]) for i in range(len(source))}
        assert len(source) == 2 * len(seen[split])
    assert len(seen["validation"]) == 1 and len(seen["train"] | seen["validation"]) == len(CITIES)


def test_folders_that_differ(folder):
    tree = "expected there: leftImg8bit/{train,val}/CITY/*_leftImg8bit.png and gtFine/"
    assert f"is missing; {tree}" in refusal(node(folder / "no"))
    assert f"has no leftImg8bit/train/*/*_leftImg8bit.png; {tree}" in refusal(node(folder / "gtFine"))
    file = folder / "gtFine/train/ulm/ulm_000001_000019_gtFine_labelIds.png"
    save(file, np.full((HEIGHT, WIDTH), 34))
    assert f"{file}: has a label 34, expected 0 to 33, or 255" in refusal(node(folder))
    save(file, labels().reshape(WIDTH, HEIGHT))
    assert f"{file}: is 8×16 pixels, its picture 16×8" in refusal(node(folder))
    file.unlink()
    message = "has 14 pictures but 13 label maps: leftImg8bit/train/ulm/ulm_000001_000019_leftImg8bit.png is without"
    assert message in refusal(node(folder))
