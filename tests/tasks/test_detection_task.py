"""Which place tells of which box, by brute force; the loss by its formulas; what is found, and how it is drawn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mtjax import metrics
from mtjax.data.fields import SourceInfo
from mtjax.metrics import finish
from mtjax.models.heads.boxes import Proposals
from mtjax.pytree import replace
from mtjax.tasks import TASKS
from mtjax.tasks.detection import decode, draw
from mtjax.tasks.losses_detection import assign, center_focal, centerness

INFO = SourceInfo(
    name="tiny",
    fields={"image": (16, 24, 3), "boxes": (3, 4), "box_labels": (3,)},
    class_names={"box_labels": ("cat", "dog")},
    image_shape=(16, 24, 3),
)
TASK = TASKS["detection"]("found", INFO, observation="blurred")
SIZE = np.array([16, 24], np.float32)
RNG = np.random.default_rng(0)

# Two objects, one object, none. No side and no reach is just at a place, where rounding would decide.
BOXES = np.array([[[0, 0, 8, 10], [4, 12, 16, 24], [0, 0, 0, 0]], [[2, 4, 12, 10.5], *[[0] * 4] * 2], [[0] * 4] * 3])
TRUTH = {
    "boxes": jnp.asarray(BOXES / np.tile(SIZE, 2), jnp.float32),
    "labels": jnp.asarray([[0, 1, -1], [1, -1, -1], [-1, -1, -1]]),
}


def places():
    """y and x of places at strides 2 and 4, and the distances that they are responsible for."""
    points, reach = [], []
    for stride, bounds in ((2, (0, 7.3)), (4, (7.3, np.inf))):
        rows, columns = np.mgrid[stride / 2 : 16 : stride, stride / 2 : 24 : stride]
        points.append(np.stack([rows, columns], -1).reshape(-1, 2))
        reach.append(np.tile(bounds, (len(points[-1]), 1)))
    return np.concatenate(points).astype(np.float32), np.concatenate(reach).astype(np.float32)


POINTS, REACH = places()


def proposals(logits, boxes, central) -> Proposals:
    """Proposals of three pictures at the places above."""
    count = len(POINTS)
    return Proposals(
        logits=jnp.broadcast_to(jnp.asarray(logits, jnp.float32), (3, count, 2)),
        centerness=jnp.broadcast_to(jnp.asarray(central, jnp.float32), (3, count)),
        boxes=jnp.broadcast_to(jnp.asarray(boxes, jnp.float32), (3, count, 4)),
        points=jnp.broadcast_to(POINTS, (3, count, 2)),
        reach=jnp.broadcast_to(REACH, (3, count, 2)),
        size=jnp.broadcast_to(SIZE, (3, 2)),
    )


def assigned(boxes, labels):
    """Place by place, box by box."""
    which, central = np.full(len(POINTS), -1), np.zeros(len(POINTS))
    for i, ((y, x), (low, high)) in enumerate(zip(POINTS, REACH, strict=True)):
        smallest = np.inf
        for k, (top, left, bottom, right) in enumerate(boxes):
            sides = np.array([y - top, x - left, bottom - y, right - x])
            area = (bottom - top) * (right - left)
            if labels[k] >= 0 and sides.min() > 0 and low < sides.max() <= high and area < smallest:
                smallest, which[i] = area, k
                central[i] = np.sqrt(np.prod(np.minimum(sides[:2], sides[2:]) / np.maximum(sides[:2], sides[2:])))
    return which, central


ASSIGN = jax.jit(assign)
LOSS = jax.jit(jax.value_and_grad(lambda p, truth: TASK.loss(p, truth).sum(), allow_int=True))
PER_EXAMPLE = jax.jit(TASK.loss)


def test_places_are_assigned_as_by_brute_force():
    which = np.zeros(0)
    for trial in range(10):
        low = RNG.random((3, 2)) * [8, 12]
        boxes = np.concatenate([low, low + RNG.uniform(2, 12, (3, 2))], -1).astype(np.float32)
        labels = np.array([0, -1 if trial % 3 == 0 else 1, 1])
        which, central = assigned(boxes, labels)
        np.testing.assert_array_equal(ASSIGN(POINTS, REACH, boxes, labels), which)
        own = boxes[which]
        np.testing.assert_allclose(
            np.where(which >= 0, jax.jit(centerness)(POINTS, own), 0), central, atol=1e-4, err_msg=str(trial)
        )
    assert (which >= 0).sum() > 3


TINY = np.array([[7, 13, 9, 15], [0, 0, 12, 24], [7.5, 12.5, 8.5, 13.5]], np.float32)  # the first is 2x2 pixels


def test_an_object_between_the_places_has_the_nearest_one_and_no_other():
    points, reach = 2 * POINTS, 2 * REACH  # strides 4 and 8: nowhere inside the first box
    inside = ((points > TINY[0, :2]) & (points < TINY[0, 2:])).all(-1)
    assert not inside.any()
    which = np.asarray(ASSIGN(points, reach, TINY[:1], np.zeros(1, int)))
    (only,) = np.flatnonzero(which == 0)
    away = np.square(points - TINY[0].reshape(2, 2).mean(0)).sum(-1)
    assert away[only] == away.min() and reach[only, 0] == 0  # of the finest level
    assert (np.asarray(ASSIGN(points, reach, TINY[:1], np.full(1, -1))) == -1).all()
    empty = np.array([[7, 13, 7, 15]], np.float32)
    assert (np.asarray(ASSIGN(points, reach, empty, np.zeros(1, int))) == -1).all()


def test_large_objects_keep_their_places_but_the_one_that_a_small_one_needs():
    points, reach = 2 * POINTS, 2 * REACH
    both = np.asarray(ASSIGN(points, reach, TINY[:2], np.zeros(2, int)))
    alone = np.asarray(ASSIGN(points, reach, TINY[1:2], np.zeros(1, int)))
    assert (both == 0).sum() == 1
    np.testing.assert_array_equal((both == 1) | (both == 0) & (alone == 0), alone == 0)
    assert (alone == 0).sum() > 5
    crowd = np.asarray(ASSIGN(points, reach, TINY, np.zeros(3, int)))
    assert (crowd == 2).sum() == 1 and not (crowd == 0).any()  # one place for two: it tells of the smaller


def free_proposals(free) -> Proposals:
    """Proposals of one picture at strides 4 and 8 of which nothing is fixed but the places."""
    points, sides = jnp.asarray(2 * POINTS)[None], jnp.exp(free["sides"])
    boxes = jnp.concatenate([points - sides[..., :2], points + sides[..., 2:]], -1)
    reach, size = jnp.asarray(2 * REACH, jnp.float32)[None], jnp.asarray(2 * SIZE)[None]
    return Proposals(free["logits"], free["centerness"], boxes, points, reach, size)


@jax.jit
def learned(truth) -> Proposals:
    """What the loss makes of such proposals in 300 steps."""
    optimizer, count = optax.adam(0.1), len(POINTS)
    shapes = {"logits": (1, count, 2), "centerness": (1, count), "sides": (1, count, 4)}
    free = {name: jnp.full(shape, -3.0 if name == "logits" else 0.0) for name, shape in shapes.items()}

    def step(carry, _):
        free, state = carry
        slopes = jax.grad(lambda free: TASK.loss(free_proposals(free), truth).sum())(free)
        updates, state = optimizer.update(slopes, state)
        return (optax.apply_updates(free, updates), state), None

    return free_proposals(jax.lax.scan(step, (free, optimizer.init(free)), length=300)[0][0])


@pytest.mark.parametrize("corner", [(7, 13), (7.5, 15), (6.5, 10)])
def test_an_object_of_two_pixels_is_learned(corner):
    box = np.array([*corner, *np.add(corner, 2)], np.float32)
    size = np.tile(2 * SIZE, 2)
    found = decode(learned({"boxes": jnp.asarray(box / size)[None, None], "labels": jnp.ones((1, 1), int)}))
    assert found.labels[0, 0] == 1 and found.scores[0, 0] > 0.8
    assert found.scores[0, 1] < 0.1  # and nothing else
    pixels = np.asarray(found.boxes[0, 0]) * size
    # A box never leaves its place out, so it covers the object and what lies between the two.
    assert metrics.box_iou(jnp.asarray(pixels), jnp.asarray(box)) > 0.4
    assert (pixels[:2] < box[:2] + 0.2).all() and (pixels[2:] > box[2:] - 0.2).all()


@functools.cache
def perfect() -> Proposals:
    """Each place tells of its own object alone, and knows how central it is."""
    made = proposals(np.full(2, -20.0), 0, -20.0)
    logits, central, boxes = (np.array(x) for x in (made.logits, made.centerness, made.boxes))
    boxes += np.concatenate([POINTS - 1, POINTS + 1], -1)
    for i in range(3):
        which, middle = assigned(BOXES[i], np.asarray(TRUTH["labels"][i]))
        own = which >= 0
        logits[i, own, np.asarray(TRUTH["labels"][i])[which[own]]] = 20
        central[i, own] = np.log(middle[own] / (1 - np.minimum(middle[own], 1 - 1e-6)))
        boxes[i, own] = BOXES[i][which[own]]
    return proposals(logits, boxes, central)


def test_the_loss_by_its_formulas():
    made = proposals(RNG.normal(size=(3, len(POINTS), 2)), 0, RNG.normal(size=(3, len(POINTS))))
    sides = RNG.uniform(1, 6, (3, len(POINTS), 4))
    made = replace(made, boxes=jnp.asarray(np.tile(POINTS, 2) + sides * [-1, -1, 1, 1], jnp.float32))
    values = PER_EXAMPLE(made, TRUTH)
    for i in range(3):
        which, central = assigned(BOXES[i], np.asarray(TRUTH["labels"][i]))
        p = 1 / (1 + np.exp(-np.asarray(made.logits[i], np.float64)))
        true = np.zeros_like(p)
        for k in np.flatnonzero(which >= 0):
            true[k, TRUTH["labels"][i][which[k]]] = 1
        focal = np.where(true > 0, -0.25 * (1 - p) ** 2 * np.log(p), -0.75 * p**2 * np.log(1 - p)).sum()
        q = 1 / (1 + np.exp(-np.asarray(made.centerness[i], np.float64)))
        middle = np.where(which >= 0, -central * np.log(q) - (1 - central) * np.log(1 - q), 0).sum()
        count, apart = max((which >= 0).sum(), 1), 0.0
        for k in np.flatnonzero(which >= 0):
            a, b = np.asarray(made.boxes[i, k], np.float64), BOXES[i][which[k]].astype(float)
            common = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
            union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common
            hull = (np.maximum(a[2:], b[2:]) - np.minimum(a[:2], b[:2])).prod()
            apart += central[k] * (1 - common / union + (hull - union) / hull)
        expected = focal / count + apart / max(central.sum(), 1e-6) + middle / count
        assert float(values[i]) == pytest.approx(expected, rel=1e-4)


def test_loss_and_slopes_are_finite_without_objects_and_for_wild_proposals():
    nothing = {"boxes": jnp.zeros((3, 3, 4)), "labels": jnp.full((3, 3), -1)}
    degenerate = {"boxes": jnp.full((3, 3, 4), 0.5), "labels": jnp.zeros((3, 3), jnp.int32)}
    everywhere = {"boxes": jnp.tile(jnp.array([0.0, 0.0, 1.0, 1.0]), (3, 3, 1)), "labels": jnp.ones((3, 3), jnp.int32)}
    for made in (perfect(), proposals(1e4, np.tile(POINTS, 2), -1e4), proposals(-1e4, [-1e4, -1e4, 1e4, 1e4], 1e4)):
        for truth in (TRUTH, nothing, degenerate, everywhere):
            value, slope = LOSS(made, truth)
            assert jnp.isfinite(value)
            assert all(bool(jnp.isfinite(x).all()) for x in (slope.logits, slope.centerness, slope.boxes))


def test_the_loss_of_the_truth_is_least():
    """What is left of it is the entropy of the centerness; without objects it is nothing."""
    values = PER_EXAMPLE(perfect(), TRUTH)
    assert float(values[2]) < 1e-6
    for i in range(2):
        which, q = assigned(BOXES[i], np.asarray(TRUTH["labels"][i]))
        q = np.clip(q[which >= 0], 1e-9, 1 - 1e-9)
        entropy = -np.mean(q * np.log(q) + (1 - q) * np.log(1 - q))
        assert float(values[i]) == pytest.approx(entropy, abs=1e-3)


def test_the_truth_is_found_once_each_and_scores_best():
    kept = jax.device_get(jax.jit(TASK.whole.keep)(perfect(), TRUTH))
    assert (kept["labels"] >= 0).sum(-1).tolist() == [2, 1, 0]
    np.testing.assert_allclose(kept["boxes"][1, 0], TRUTH["boxes"][1, 0], atol=1e-5)
    assert TASK.whole.score(kept) == pytest.approx({"ap": 1, "ap50": 1, "ap75": 1})
    total, count = jax.jit(TASK.metrics)(perfect(), TRUTH)["recall"]
    assert float(finish(total.sum(0), count.sum(0))) == 1


def test_detections_are_sorted_few_and_inside():
    made = proposals(RNG.normal(size=(3, len(POINTS), 2)) - 1, np.tile(POINTS, 2) + 5 * np.array([-1, -1, 1, 1]), 0.0)
    few = jax.jit(functools.partial(decode, top_k=6))(made)
    assert few.boxes.shape == (3, 6, 4) and few.labels.shape == few.scores.shape == (3, 6)
    scores, boxes = np.asarray(few.scores), np.asarray(few.boxes)
    assert (np.diff(scores, axis=1) <= 0).all() and scores.min() > 0
    assert boxes.min() >= 0 and boxes.max() <= 1
    best = jax.nn.sigmoid(made.logits).max((1, 2))
    np.testing.assert_allclose(scores[:, 0], jnp.sqrt(best * 0.5), rtol=1e-5)


def test_the_focal_loss_of_a_heat_map():
    logits, heat = jnp.array([0.3, 0.3, 0.3]), jnp.array([1.0, 0.5, 0.0])
    p = 1 / (1 + np.exp(-0.3))
    wrong = -(p**2) * np.log(1 - p)
    expected = [-((1 - p) ** 2) * np.log(p), 0.5**4 * wrong, wrong]
    np.testing.assert_allclose(center_focal(logits, heat), expected, rtol=1e-5)


def test_a_picture_shows_boxes_with_the_colors_of_their_classes():
    colors = np.array([[255, 0, 0], [0, 255, 0]], np.uint8)
    boxes, labels = np.asarray(TRUTH["boxes"][0, :2]), np.array([0, 1])
    picture = draw(boxes, labels, (16, 24), ("cat", "dog"), colors)
    assert picture.shape == (192, 288, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[60, 0], [255, 0, 0])
    np.testing.assert_array_equal(picture[191, 200], [0, 255, 0])
    np.testing.assert_array_equal(picture[150, 60], [40, 40, 40])
    whole = TASK.picture(jax.device_get(jax.tree.map(lambda x: x[0], perfect())))
    assert whole.shape == (192, 288, 3) and len(np.unique(whole.reshape(-1, 3), axis=0)) > 2
    assert len(np.unique(TASK.picture(jax.device_get(jax.tree.map(lambda x: x[2], perfect()))))) == 1


def test_fields_that_the_data_lack_are_named():
    with pytest.raises(ValueError, match=r"tasks\.mine: tiny has no classes in a field 'wrong'"):
        TASKS["detection"]("mine", INFO, observation="blurred", label="wrong")
    without = SourceInfo("bare", {"box_labels": (3,)}, INFO.class_names, INFO.image_shape)
    with pytest.raises(ValueError, match=r"tasks\.mine: bare has no field 'boxes'; it has box_labels"):
        TASKS["detection"]("mine", without, observation="blurred")
