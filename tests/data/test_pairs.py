"""Photographs of high and low resolution: which belong together, and that they are cut at one place."""

import jax.numpy as jnp
import numpy as np
import pytest
from shared_data import SHARED, needs, refusal, save

from mtjax import data, physics
from mtjax.data import pipeline

SPLITS = ("train", "validation", "test")
LAYOUTS = [
    ("img_{}_SRF_2_HR.png", "img_{}_SRF_2_LR.png"),
    ("HR/{}.png", "LR/{}.png"),
    ("DIV2K_train_HR/{}.png", "DIV2K_train_LR_bicubic/X2/{}x2.png"),
    ("hr/hr{}.png", "lr_x2_BI/lr{}.png"),
]


def picture(number, height=24, width=32):
    """Each pixel says where it lies, and in which picture."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x, np.full_like(x, number)], -1)


def write(root, high=LAYOUTS[0][0], low=LAYOUTS[0][1], count=6, factor=2):
    for number in range(count):
        save(root / high.format(number), picture(number))
        save(root / low.format(number), picture(number)[::factor, ::factor])


def node(path, **params):
    return {"source": "pairs", "path": str(path), "factor": 2, "size": (8, 12), **params}


@pytest.mark.parametrize(("high", "low"), LAYOUTS)
def test_what_belongs_together_in_each_layout(tmp_path, high, low):
    write(tmp_path, high, low)
    numbers = []
    for split in SPLITS:
        source = data.build(node(tmp_path), split)
        for i in range(len(source)):
            np.testing.assert_array_equal(source[i]["image"][::2, ::2], source[i]["observed"])
            numbers.append(int(source[i]["image"][0, 0, 2]))
    assert sorted(numbers) == list(range(6)) and len(data.build(node(tmp_path), "train")) == 4


def test_both_are_cut_at_one_random_place(tmp_path):
    write(tmp_path)
    places = set()
    for step in range(10):
        batch = pipeline.batch_at(data.build(node(tmp_path), "train"), 4, 0, step)
        np.testing.assert_array_equal(batch["image"][:, ::2, ::2], batch["observed"])
        places |= {tuple(corner) for corner in batch["image"][:, 0, 0, :2].tolist()}
    assert len(places) > 15 and {y % 2 for y, _ in places} == {0}
    assert max(y for y, _ in places) == 16 and max(x for _, x in places) == 20


def test_the_factor_chooses_the_folder(tmp_path):
    for factor in (2, 4):
        write(tmp_path, f"x{factor}/{{}}_HR.png", f"x{factor}/{{}}_LR.png", factor=factor)
    assert data.build(node(tmp_path, factor=4), "test")[0]["observed"].shape == (2, 3, 3)


def test_folders_that_differ(tmp_path):
    tree = "expected there: NAME_HR.png and NAME_LR.png, or HR/NAME.png and LR/NAME.png"
    assert f"is missing; {tree}" in refusal(node(tmp_path / "no"))
    assert f"has only 0 pairs; three splits need 3 or more; {tree}" in refusal(node(tmp_path))
    write(tmp_path)
    assert "img_0_SRF_2_HR.png: is 32×24 pixels, too small for size=(26, 26)" in refusal(node(tmp_path, size=26))
    save(tmp_path / "img_3_SRF_2_LR.png", picture(3)[::3, ::3])
    message = "img_3_SRF_2_HR.png: is 32×24 pixels, img_3_SRF_2_LR.png 11×8; expected 2 times as many to each side"
    assert message in refusal(node(tmp_path))
    (tmp_path / "img_3_SRF_2_LR.png").unlink()
    assert "has 6 HR and 5 LR pictures: img_3_SRF_2_HR.png is without the other" in refusal(node(tmp_path))
    save(tmp_path / "b.png", picture(0))
    assert "has b.png, which is not told to be HR or LR" in refusal(node(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 9}, "size=9: expected positive multiples of factor=2"),
        ({"factor": 0}, "factor=0, channels=3: expected"),
        ({"channels": 2}, "factor=2, channels=2: expected"),
    ],
)
def test_bad_values(tmp_path, change, message):
    assert message in refusal(node(tmp_path, **change))


@needs("sr_bench/Set5")
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_bicubic_operator_makes_the_given_pictures(factor):
    """Within half a gray level: the files were rounded and cut off after each of the two directions, `A x` was not."""
    operator, border = physics.Bicubic(factor), 4
    for split in SPLITS:
        source = data.build(node(SHARED / "sr_bench/Set5", factor=factor, size=192), split)
        for example in map(source.__getitem__, range(len(source))):
            made = np.asarray(operator(jnp.asarray(example["image"] / 255, jnp.float32)))
            difference = np.round(255 * np.clip(made, 0, 1)) - example["observed"]
            inside = difference[border:-border, border:-border]  # what the cut took from the operator aside
            assert np.sqrt((inside**2).mean()) < 0.5
