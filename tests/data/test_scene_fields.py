"""Fields made from what digit_scenes stores: true of the picture, always the same, and drawn as sheets of data show."""

import concurrent.futures

import jax
import numpy as np
import pytest
import skimage.color
from scipy import ndimage

from mtjax import data, solvers
from mtjax.data import pipeline, preview
from mtjax.data.colors import depth_colors, flow_colors, normal_colors
from mtjax.data.sources.scene_fields import EXTRAS

SCENES = {"source": "digit_scenes", "size": 32, "train": 30, "validation": 8, "test": 8}  # as in conftest.py


@pytest.fixture
def told(scenes_dir):
    """split -> source, with every extra field."""
    return lambda split: data.build({**SCENES, "data_dir": str(scenes_dir), "extras": tuple(EXTRAS)}, split)


def test_shapes_and_types(told):
    source = told("train")
    batch = pipeline.batch_at(source, 4, 0, 0)
    for name in EXTRAS:
        assert batch[name].shape == (4, *source.info.fields[name])
        assert batch[name].dtype == data.FIELDS[name][0] and batch["valid"][name].all()
    assert source.info.class_names["present"] == tuple("0123456789")
    assert source.info.class_names["parity"] == ("even", "odd")


def test_classes_and_saliency_are_those_of_the_scene(told):
    for example in (told("train")[i] for i in range(30)):
        assert set(np.flatnonzero(example["present"])) == set(example["box_labels"][example["box_labels"] >= 0])
        assert example["parity"] == int(example["label"]) % 2
        np.testing.assert_array_equal(example["saliency"] > 0, example["instances"] == 1)


def test_normals_are_unit_vectors_that_lean_away_from_the_middle_of_a_stroke(told):
    for example in (told("train")[i] for i in range(8)):
        normals, inside = example["normals"], example["instances"] > 0
        np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-5)
        np.testing.assert_array_equal(normals[~inside], np.broadcast_to([0, 0, 1], normals[~inside].shape))
        assert (normals[..., 2] > 0.4).all() and (normals[inside, 2] < 0.9).any()
        rows = inside & ~np.roll(inside, 1, 1) & (example["instances"] == np.roll(example["instances"], -1, 1))
        assert (normals[rows, 0]).mean() < -0.3  # at a stroke's left edge the surface faces left
        columns = inside & ~np.roll(inside, 1, 0) & (example["instances"] == np.roll(example["instances"], -1, 0))
        assert (normals[columns, 1]).mean() < -0.3  # and at its upper edge up


def test_the_flow_takes_the_previous_frame_to_the_image(told):
    lengths = []
    for example in (told("train")[i] for i in range(30)):
        flow = example["flow"]
        at = np.moveaxis(np.indices((32, 32)), 0, -1) + flow
        for channel in range(3):
            expected = ndimage.map_coordinates(
                example["image"][..., channel].astype(float), np.moveaxis(at, -1, 0), order=1, mode="mirror"
            )
            assert np.abs(example["previous"][..., channel] - expected).max() <= 0.5 + 1e-3
        lengths.append(np.linalg.norm(flow, axis=-1).max())
        assert max(np.abs(np.diff(flow, axis=axis)).max() for axis in (0, 1)) < 0.9  # nothing folds over
    assert 0.8 < min(lengths) < max(lengths) <= 3 + 1e-5  # 6 pixels at size 64


def test_a_clip_begins_with_the_image_and_its_frames_are_moved_as_registering_them_says(told):
    examples = [told("train")[i] for i in range(8)]
    clips = np.stack([example["clip"] for example in examples]).astype(np.float32) / 255
    found = np.asarray(jax.jit(lambda clips: solvers.register(clips[:, :1], clips).offset)(clips))
    still, steps = [], []
    for example, frames, offsets in zip(examples, clips, found, strict=True):
        np.testing.assert_array_equal(example["clip"][0], example["image"])
        for frame, offset in zip(frames[1:], offsets[1:], strict=True):
            back = ndimage.shift(frame, (*-offset, 0), order=3, mode="mirror")[6:-6, 6:-6]
            still.append(np.abs(frame[6:-6, 6:-6] - frames[0, 6:-6, 6:-6]).mean())
            steps.append(np.abs(back - frames[0, 6:-6, 6:-6]).mean())
        assert np.linalg.norm(offsets, axis=-1).max() < 4 * 32 * (1 / 48 + 3 / 128)
    assert np.mean(steps) < 0.4 * np.mean(still)  # what is left is what interpolation rounds off


@pytest.mark.parametrize("size", [30, 32])
def test_a_reference_has_the_image_s_colors_elsewhere(size):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    reference = EXTRAS["reference"].make({"image": image}, np.random.default_rng(1))
    assert reference.shape == image.shape and (reference != image).any(-1).mean() > 0.9
    if size == 32:  # a multiple of the blocks, so that no pixel is lost
        one, other = (np.unique(picture.reshape(-1, 3), axis=0) for picture in (image, reference))
        np.testing.assert_array_equal(one, other)


def test_always_the_same_and_each_its_own(told):
    source, again = told("train"), told("train")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        both = list(pool.map(lambda i: (source[i % 8], again[i % 8]), range(16)))
    for one, other in both:
        for name in EXTRAS:
            np.testing.assert_array_equal(one[name], other[name])
    assert not np.allclose(source[0]["flow"], source[1]["flow"])
    assert not np.allclose(source[0]["flow"], told("test")[0]["flow"])


def test_a_field_alone_is_as_among_the_others(told, scenes_dir):
    alone = data.build({**SCENES, "data_dir": str(scenes_dir), "extras": ("previous",)}, "train")
    assert set(alone.info.fields) - set(data.build({**SCENES, "data_dir": str(scenes_dir)}, "train").info.fields) == {
        "previous"
    }
    np.testing.assert_array_equal(alone[3]["previous"], told("train")[3]["previous"])


def test_an_unknown_field_is_named_with_the_nearest(tmp_path):
    with pytest.raises(ValueError, match=r"'normal' in data\.extras; did you mean 'normals'") as caught:
        data.build({**SCENES, "data_dir": str(tmp_path), "extras": ("normal",)}, "train")
    assert "\n" not in str(caught.value)


def test_a_sheet_has_a_row_for_every_map(told):
    batch = pipeline.batch_at(told("train"), 2, 0, 0)
    whole = preview.sheet(batch, told("train").info)
    for name in ("saliency", "normals", "previous", "flow", "clip", "reference"):
        without = {key: value for key, value in batch.items() if key != name}
        assert preview.sheet(without, told("train").info).shape[0] == whole.shape[0] - preview.CELL - preview.GAP


def test_colors_of_flow_are_a_wheel():
    angles = np.linspace(0, 2 * np.pi, 721)[:-1]
    flow = np.stack([np.sin(angles), np.cos(angles)], -1)[None]
    colors = flow_colors(flow, 1.0)
    np.testing.assert_array_equal(colors[0, 0], [255, 0, 0])
    hue = np.unwrap(skimage.color.rgb2hsv(colors)[0, :, 0], period=1)
    assert (np.diff(hue) >= -1e-6).all() and hue[-1] > 0.99 - 1e-2  # every hue once, without a jump
    np.testing.assert_array_equal(flow_colors(0 * flow, 1.0), 255)
    assert (flow_colors(0.5 * flow, 1.0) >= colors).all() and (flow_colors(2 * flow, 1.0) <= colors).all()


def test_colors_of_what_is_unknown_are_black():
    depth = np.array([[1.0, np.nan, 2.0]])
    assert depth_colors(depth, 1.0, 2.0)[0].any(-1).tolist() == [True, False, True]
    normals = np.array([[[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]])
    np.testing.assert_array_equal(normal_colors(normals)[0], [[128, 128, 255], [0, 0, 0]])
