"""Objects as maps and back: targets by hand, grouping, fragments, the loss where there is nothing, pictures."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax.data.fields import SourceInfo
from mtjax.metrics import finish
from mtjax.tasks import TASKS
from mtjax.tasks.centers import RARE, UNIT, centers_of, group, without_fragments
from mtjax.tasks.instances import instance_loss

SHAPE = (16, 20)
INFO = SourceInfo(
    name="tiny",
    fields={"image": (*SHAPE, 3), "instances": SHAPE, "boxes": (3, 4)},
    class_names={},
    image_shape=(*SHAPE, 3),
)
TASK = TASKS["instances"]("apart", INFO, observation="blurred")
TRUE = np.zeros((3, *SHAPE), np.int32)  # two objects that touch; one, with a number of its own; none
TRUE[0, 2:9, 1:8], TRUE[0, 4:13, 8:19] = 1, 2
TRUE[1, 5:10, 5:10] = 3
RNG = np.random.default_rng(0)

CENTERS = jax.jit(functools.partial(centers_of, most=3))
GROUP = jax.jit(functools.partial(group, most=8))
LOSS = jax.jit(jax.value_and_grad(lambda maps, true: instance_loss(maps, true, most=3).sum()))


def as_prediction(centers):
    """The maps that a head would have to give to say exactly what is true."""
    foreground, center = (jnp.where(x, 20.0, -20.0)[..., None] for x in (centers.foreground, centers.heat == 1))
    return jnp.concatenate([foreground, center + RARE, centers.offsets / UNIT], -1)


def test_targets_by_hand():
    centers = jax.device_get(CENTERS(TRUE))
    np.testing.assert_array_equal(centers.foreground, TRUE > 0)
    np.testing.assert_array_equal(centers.count, [2, 1, 0])
    np.testing.assert_array_equal(np.argwhere(centers.heat == 1), [[0, 5, 4], [0, 8, 13], [1, 7, 7]])
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = TRUE[0] == 2
    np.testing.assert_allclose(centers.offsets[0][inside], np.stack([8 - rows, 13 - columns], -1)[inside], atol=1e-4)
    assert not centers.offsets[2].any() and not centers.heat[2].any()
    # Two pixels beside the center of 99 pixels' area, and of 25: a standard deviation of √99 / 8, and of one at least.
    assert centers.heat[0, 8, 15] == pytest.approx(np.exp(-2 / (99 / 64)), rel=1e-4)
    assert centers.heat[1, 7, 9] == pytest.approx(np.exp(-2), rel=1e-4)


def test_what_is_true_comes_back_from_its_maps_and_scores_best():
    prediction = as_prediction(CENTERS(TRUE))
    found = jax.device_get(GROUP(prediction))
    for found_map, true in zip(found.objects, TRUE, strict=True):
        pairs = {(int(a), int(b)) for a, b in zip(found_map.ravel(), true.ravel(), strict=True)}
        assert len(pairs) == len(np.unique(true)) == len(np.unique(found_map))  # one number each
    assert (found.scores > 0.5).sum(-1).tolist() == [2, 1, 0]
    pairs = jax.jit(TASK.metrics)(prediction, TRUE)
    values = {name: float(finish(total.sum(0), count.sum(0))) for name, (total, count) in pairs.items()}
    assert values == pytest.approx({"pq": 1, "sq": 1, "rq": 1})
    kept = jax.device_get(jax.jit(TASK.whole.keep)(prediction, TRUE))
    assert TASK.whole.score(kept) == pytest.approx({"mask_ap": 1, "mask_ap50": 1, "mask_ap75": 1})
    assert list(TASK.directions) == ["pq", "sq", "rq", "mask_ap", "mask_ap50", "mask_ap75"]


def test_pixels_go_to_the_center_they_point_at_and_not_to_the_nearest():
    maps = np.zeros((1, *SHAPE, 4), np.float32)
    maps[..., 0], maps[..., 1] = 5, -20
    maps[0, 8, 3, 1], maps[0, 8, 16, 1] = 9 + RARE, 6 + RARE
    objects = np.asarray(GROUP(maps).objects[0])
    assert (objects[:, :9] == 1).all() and (objects[:, 11:] == 2).all()  # the likelier center first
    maps[0, :, 9:, 3] = -10 / UNIT
    assert (np.asarray(GROUP(maps).objects[0])[:, 9:17] == 1).all()


def test_of_centers_close_together_the_best_stays():
    maps = np.full((1, *SHAPE, 4), -20, np.float32)
    maps[..., 0], maps[..., 2:] = 5, 0
    maps[0, 8, 8, 1], maps[0, 8, 10, 1], maps[0, 8, 14, 1] = 9, 8, 7
    found = GROUP(maps)
    assert (np.asarray(found.scores[0]) > 0).sum() == 2 and set(np.unique(found.objects)) == {1, 2}


def test_without_centers_there_are_no_objects():
    maps = np.zeros((1, *SHAPE, 4), np.float32)
    maps[..., 0] = 5
    found = GROUP(maps)
    assert not np.asarray(found.objects).any() and not np.asarray(found.scores).any()


def test_small_fragments_go_and_large_parts_stay():
    objects = np.zeros((10, 10), np.uint8)
    objects[:4, :5] = 1  # 20 pixels
    objects[8:, :3] = 1  # 6, more than a quarter
    objects[5, 5:9] = 1  # 4, less
    objects[0, 7:] = 2
    kept = without_fragments(objects)
    expected = objects.copy()
    expected[5] = 0
    np.testing.assert_array_equal(kept, expected)
    assert not without_fragments(0 * objects).any()


def test_the_loss_by_hand_and_of_the_truth():
    assert LOSS(as_prediction(CENTERS(TRUE)), TRUE)[0] < 1e-4
    flat = jnp.zeros((3, *SHAPE, 4)).at[..., 2].set(0.5).at[..., 1].set(RARE)
    centers = jax.device_get(CENTERS(TRUE))
    expected = 0.0
    for i in range(3):
        inside = TRUE[i] > 0
        heat = np.where(centers.heat[i] == 1, 1, (1 - centers.heat[i]) ** 4) * 0.25 * np.log(2)
        off = np.abs(np.array([0.5, 0]) - centers.offsets[i] / UNIT).sum(-1)[inside]
        expected += np.log(2) + heat.sum() / max(centers.count[i], 1) + (off.mean() if len(off) else 0)
    assert float(LOSS(flat, TRUE)[0]) == pytest.approx(expected, rel=1e-5)


def test_loss_and_slopes_are_finite_where_nothing_or_everything_is_an_object():
    random = RNG.normal(size=(3, *SHAPE, 4)).astype(np.float32)
    for true in (TRUE, 0 * TRUE, 1 + 0 * TRUE, 9 + 0 * TRUE):  # 9 is a number beyond what the data may have
        for maps in (random, 0 * random, 1e4 * random):
            value, slope = LOSS(maps, true)
            assert jnp.isfinite(value) and jnp.isfinite(slope).all()


def test_a_picture_gives_each_object_a_color():
    maps = np.asarray(as_prediction(CENTERS(TRUE)))
    picture = TASK.picture(maps[0])
    assert picture.dtype == np.uint8 and picture.shape == (*SHAPE, 3)
    for k in range(3):
        assert len(np.unique(picture[TRUE[0] == k], axis=0)) == 1
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 3


def test_a_field_that_the_data_lack_is_named():
    with pytest.raises(ValueError, match=r"tasks\.mine: tiny has no field 'wrong'"):
        TASKS["instances"]("mine", INFO, observation="blurred", label="wrong")
