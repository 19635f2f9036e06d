"""Augmentation: image and labels move together, by a function of the example's key, and not at all when off."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from mtjax import data
from mtjax.data import pipeline

SIZE = 32
ALL = {"flip": True, "crop": 4, "rotation": 20.0, "scale": (0.8, 1.3)}


@pytest.fixture
def batch(scenes):
    return data.to_device_batch(pipeline.batch_at(scenes("train"), 8, 0, 0))


def augmented(keys, batch, spec):
    """One compiled call: much faster than a compilation of every operation."""
    return jax.jit(lambda k, b: data.augment(k, b, spec))(keys, batch)


def keys(count=8, seed=0):
    return jax.random.split(jax.random.key(seed), count)


@pytest.mark.parametrize("spec", [{}, {"flip": False, "crop": 0, "rotation": 0.0, "scale": (1.0, 1.0)}])
def test_off_is_free(batch, spec):
    assert data.augment(keys(), batch, spec) is batch


def test_evaluation_is_not_moved(batch):
    assert data.augment(keys(), batch, ALL, train=False) is batch


@pytest.mark.parametrize("spec", [{"flip": True}, {"crop": 5}, {"flip": True, "crop": 5}])
def test_flips_and_shifts_are_exact(batch, spec):
    moved = augmented(keys(), batch, spec)
    margin = spec.get("crop", 0)
    for i in range(8):
        image, matches = np.asarray(batch["image"][i]), []
        around = np.pad(image, [(margin, margin), (margin, margin), (0, 0)], mode="reflect")
        for dy in range(2 * margin + 1):
            for dx in range(2 * margin + 1):
                crop = around[dy : dy + SIZE, dx : dx + SIZE]
                matches += [np.array_equal(crop, moved["image"][i]), np.array_equal(crop[:, ::-1], moved["image"][i])]
        assert any(matches)


@pytest.mark.parametrize("spec", [{"flip": True}, {"crop": 5}, {"rotation": 30.0}, {"scale": (0.7, 1.4)}, ALL])
def test_labels_move_with_the_image(batch, spec):
    """The segments, given as an image too, must agree with the segments moved as labels."""
    painted = {**batch, "image": jnp.repeat((batch["segments"] > 0).astype(jnp.float32)[..., None], 3, -1)}
    moved = augmented(keys(), painted, spec)
    # the nearest of four pixels has at least a quarter of the weight in bilinear sampling
    assert jnp.abs(moved["image"][..., 0] - (moved["segments"] > 0)).max() <= 0.75 + 1e-4
    assert (augmented(keys(), batch, spec)["segments"] == moved["segments"]).all()
    assert (moved["segments"] != batch["segments"]).any()
    assert ((moved["segments"] > 0) == (moved["instances"] > 0)).all()
    assert ((moved["depth"] == 1) == (moved["instances"] == 0)).all()
    np.testing.assert_array_equal(moved["label"], batch["label"])


@pytest.mark.parametrize("spec", [{"flip": True}, {"crop": 5}, {"scale": (0.7, 1.4)}, ALL])
def test_boxes_are_tight_around_moved_instances(batch, spec):
    moved = augmented(keys(), batch, spec)
    for i in range(8):
        for k in range(3):
            rows, columns = np.nonzero(np.asarray(moved["instances"][i]) == k + 1)
            if len(rows) == 0:
                assert moved["box_labels"][i, k] == -1
                continue
            assert moved["box_labels"][i, k] == batch["box_labels"][i, k]
            tight = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]) / SIZE
            np.testing.assert_allclose(moved["boxes"][i, k], tight, atol=1e-6)


@pytest.mark.parametrize("spec", [{"flip": True}, {"crop": 3}, {"scale": (0.9, 1.2)}, {"rotation": 20.0}])
def test_boxes_without_instances_contain_what_they_contained(spec):
    """A rectangle in the middle, so that no reflection of it comes into the picture."""
    segments = np.zeros((8, SIZE, SIZE), np.int32)
    segments[:, 10:20, 12:24] = 1
    batch = {
        "image": np.zeros((8, SIZE, SIZE, 3), np.float32),
        "segments": segments,
        "boxes": np.tile(np.float32([[10, 12, 20, 24], [0, 0, 0, 0]]) / SIZE, (8, 1, 1)),
        "box_labels": np.tile(np.int32([4, -1]), (8, 1)),
    }
    moved = augmented(keys(), batch, spec)
    for i in range(8):
        rows, columns = np.nonzero(np.asarray(moved["segments"][i]))
        tight = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
        np.testing.assert_allclose(moved["boxes"][i, 0] * SIZE, tight, atol=1e-3 if "crop" in spec else 1.01)
        assert moved["box_labels"][i].tolist() == [4, -1]
        assert not moved["boxes"][i, 1].any()


def test_each_example_depends_on_its_own_key_alone(batch):
    whole = augmented(keys(), batch, ALL)
    part = augmented(keys()[3:5], jax.tree.map(lambda leaf: leaf[3:5], batch), ALL)
    np.testing.assert_allclose(whole["image"][3:5], part["image"], atol=1e-6)
    np.testing.assert_array_equal(whole["segments"][3:5], part["segments"])
    same = data.augment(jnp.stack([keys()[0]] * 8), {"image": jnp.stack([batch["image"][0]] * 8)}, ALL)["image"]
    np.testing.assert_allclose(same, jnp.stack([same[0]] * 8), atol=1e-6)
    assert (augmented(keys(seed=1), batch, ALL)["image"] != whole["image"]).any()


def test_normalization_stretches_every_image(batch):
    dark = {**batch, "image": batch["image"] * 0.1 + 0.3}
    for train in (True, False):
        image = data.augment(keys(), dark, {"normalize": True}, train=train)["image"]
        np.testing.assert_allclose(image.min((1, 2, 3)), 0, atol=1e-6)
        np.testing.assert_allclose(image.max((1, 2, 3)), 1, atol=1e-5)
    flat = {"image": jnp.full((1, 4, 4, 1), 0.5)}
    assert not augmented(keys(1), flat, {"normalize": True})["image"].any()


def test_images_stay_between_0_and_1_and_batches_without_labels_work(batch):
    moved = augmented(keys(), {"image": batch["image"], "valid": batch["valid"]}, ALL)
    assert moved.keys() == {"image", "valid"}
    assert moved["image"].min() >= 0 and moved["image"].max() <= 1
    assert moved["image"].dtype == jnp.float32


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"rotate": 3}, "did you mean 'rotation'"),
        ({"scale": (0.0, 1.0)}, "augment.scale"),
        ({"crop": -1}, "augment.crop"),
    ],
)
def test_bad_spec(batch, spec, message):
    with pytest.raises(ValueError, match=message):
        data.augment(keys(), batch, spec)


def fold(at):
    """Coordinates mirrored at the border pixels."""
    return SIZE - 1 - np.abs(np.mod(at, 2 * SIZE - 2) - (SIZE - 1))


def relief(height):
    """Normals of a surface [H, W]."""
    down, right = np.gradient(np.asarray(height))
    normals = np.stack([-right, -down, np.ones_like(down)], -1)
    return (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32)


@functools.cache
def moving():
    """Smooth images, each with a frame before it, its normals as if it were a relief, and its coordinates."""
    rng = np.random.default_rng(0)
    rows, columns = np.meshgrid(np.arange(SIZE), np.arange(SIZE), indexing="ij")
    fields = {"image": [], "previous": [], "flow": [], "normals": [], "reference": []}
    for _ in range(8):
        phase, tilt = rng.uniform(0, 6, 3), rng.uniform(0.1, 0.3, 4)

        def scene(y, x, phase=phase, tilt=tilt):
            waves = [0.5 + 0.25 * np.sin(tilt[0] * y + tilt[1] * x + p) + 0.2 * np.cos(tilt[2] * x + p) for p in phase]
            return np.stack(waves, -1)

        down, right = np.sin(0.1 * rows + phase[0]), 1.5 * np.cos(0.12 * columns + 0.05 * rows + phase[1])
        fields["image"].append(scene(rows, columns))
        fields["previous"].append(scene(fold(rows + down), fold(columns + right)))
        fields["flow"].append(np.stack([down, right], -1))
        fields["normals"].append(relief(4 * fields["image"][-1][..., 0]))
        fields["reference"].append(np.stack([rows, columns], -1))
    return {name: jnp.asarray(np.stack(values), jnp.float32) for name, values in fields.items()}


@functools.cache
def moved_by(*spec):
    return jax.device_get(augmented(keys(), moving(), dict(spec)))


def test_a_clip_moves_as_its_image():
    clip = jnp.stack([moving()["image"], moving()["previous"]], 1)
    spec = {"flip": True, "crop": 5, "normalize": True}
    moved = jax.jit(lambda: data.augment(keys(), {**moving(), "clip": clip}, spec))()
    np.testing.assert_allclose(moved["clip"][:, 0], moved["image"], atol=1e-6)
    np.testing.assert_allclose(moved["clip"][:, 1], moved["previous"], atol=1e-6)


STEEP = {**ALL, "rotation": 40.0, "scale": (0.6, 1.5)}
MOVES = [tuple(spec.items()) for spec in ({"flip": True, "crop": 5}, STEEP)]


@pytest.mark.parametrize("spec", MOVES)
def test_flow_still_points_from_the_previous_frame_to_the_image(spec):
    moved = moved_by(*spec)
    for image, previous, flow in zip(moved["image"], moved["previous"], moved["flow"], strict=True):
        at = np.indices((SIZE, SIZE)) + flow.transpose(2, 0, 1)
        inside = ((at >= 0) & (at <= SIZE - 1)).all(0)
        found = np.stack([map_coordinates(image[..., c], at, order=1, mode="nearest") for c in range(3)], -1)
        error = np.abs(found - previous).max(-1)[inside]
        assert inside.mean() > 0.7 and np.median(error) < 0.005
        assert np.quantile(error, 0.98) < 0.03  # interpolation does not follow the crease where a reflection begins
    assert np.abs(moved["flow"] - moving()["flow"]).max() > 1


@pytest.mark.parametrize("spec", MOVES)
def test_normals_are_those_of_the_moved_surface(spec):
    """A scene that is magnified keeps its slopes: its heights grow too."""
    moved = moved_by(*spec)
    np.testing.assert_allclose(np.linalg.norm(moved["normals"], axis=-1), 1, atol=1e-5)
    middle = slice(SIZE // 2 - 2, SIZE // 2 + 3)
    for image, normals, place in zip(moved["image"], moved["normals"], moved["reference"], strict=True):
        steps = np.gradient(place[middle, middle], axis=0)
        zoom = 1 / np.median(np.linalg.norm(steps, axis=-1))
        cosine = (relief(4 * zoom * image[..., 0]) * normals).sum(-1)
        assert np.quantile(cosine, 0.1) > 0.97 and np.median(cosine) > 0.995


def test_a_mirror_turns_normals_and_flow_left_to_right():
    normals = np.tile(np.float32([0.6, 0.0, 0.8]), (8, SIZE, SIZE, 1))
    flow = np.tile(np.float32([1.0, 2.0]), (8, SIZE, SIZE, 1))
    image = np.zeros((8, SIZE, SIZE, 1), np.float32)
    image[:, :, 0] = 1
    moved = augmented(keys(), {"image": image, "normals": normals, "flow": flow}, {"flip": True})
    for i in range(8):
        sign = -1 if moved["image"][i, 0, -1, 0] == 1 else 1
        np.testing.assert_allclose(moved["normals"][i, 3, 4], [sign * 0.6, 0, 0.8], atol=1e-6)
        np.testing.assert_allclose(moved["flow"][i, 3, 4], [1, sign * 2], atol=1e-6)
    assert 0 < sum(float(moved["flow"][i, 0, 0, 1]) < 0 for i in range(8)) < 8


def test_other_pictures_are_stretched_as_the_image_is(batch):
    dark = {"image": batch["image"] * 0.1 + 0.3, "previous": batch["image"] * 0.1 + 0.3}
    moved = data.augment(keys(), dark, {"normalize": True})
    np.testing.assert_array_equal(moved["image"], moved["previous"])
