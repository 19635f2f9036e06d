"""What every sharing must do, whatever it is."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sharing_models import COPIES, KINDS, MIXING, SEVERAL, model, observed, pair, seen_by, shapes, some

from mtjax.models import SHARINGS, Pyramid


def named(tree):
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


@pytest.mark.parametrize("kind", some(KINDS))
def test_it_predicts_and_every_weight_learns(kind):
    _, _, params, gradient = pair(kind)
    (_, said), gradients = gradient(params)
    initial = {"pad_net": 1, "mti_net": 2}.get(kind, 0)
    for task, outputs in {"segment": 4, "edges": 1}.items():
        assert [x.shape for x in said[task]] == [(2, 16, 16, outputs)] * (1 + initial)
        assert all(x.dtype == jnp.float32 and bool(jnp.isfinite(x).all()) for x in said[task])
    for name, leaf in named(gradients).items():
        assert bool(jnp.isfinite(leaf).all()), name
        # A bias before a normalization has no effect.
        assert name.endswith("['bias']") or float(jnp.abs(leaf).max()) > 1e-9, name


@pytest.mark.parametrize("kind", some(kind for kind in KINDS if kind != "hard"))
def test_it_is_another_than_hard(kind):
    net, _, params, gradient = pair(kind)
    plain = params["encoder"] if net.shared_features else jax.tree.map(lambda x: x[0], params["encoder"])
    heads = {task: {k: v for k, v in own.items() if k != "initial"} for task, own in params["heads"].items()}
    (_, expected), hard_gradients = pair("hard")[3]({"encoder": plain, "sharing": {}, "heads": heads})
    (_, said), gradients = gradient(params)
    if kind == "relation":  # says the same and learns something else
        np.testing.assert_allclose(said["edges"][0], expected["edges"][0], atol=1e-6)
        said, expected = (
            {"edges": [g["heads"]["edges"]["ConvNormAct_0"]["Conv_0"]["kernel"]]} for g in (gradients, hard_gradients)
        )
    assert float(jnp.abs(said["edges"][0] - expected["edges"][0]).max()) > 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_reads_what_it_says(kind):
    """From those features alone it is predicted, and nothing of other heads is there."""
    net, seen = model(kind), seen_by(model(kind), observed())
    params = shapes(net, seen)
    features = jax.eval_shape(net.encode, params, seen)
    assert net.shared_features == (kind not in COPIES)
    assert set(features) == (set(SEVERAL) if kind in COPIES else {"blurred", "masked"})
    for task in SEVERAL:
        read = net.read_by(task)
        own = task if kind in COPIES else net.reads[task]
        assert set(read) == (set(features) if kind in MIXING else {own})
        decode = functools.partial(net.decode, observed=seen, tasks=(task,))
        others = {**params, "heads": {task: params["heads"][task]}}
        said = jax.eval_shape(decode, others, {name: features[name] for name in read})
        assert set(said) == {task}


@pytest.mark.parametrize("kind", some(["hard", "cgc", "nddr", *MIXING]))
def test_only_what_is_read_changes_a_prediction(kind):
    net, seen, params, _ = pair(kind)
    features = jax.jit(net.encode)(params, seen)
    decode = jax.jit(lambda features: net.decode(params, features, seen))
    other = "edges" if kind in COPIES else "masked"
    before = decode(features)
    after = decode({**features, other: jax.tree.map(lambda x: x + jnp.linspace(0, 1, x.shape[-1]), features[other])})
    same = bool((before["segment"] == after["segment"]).all())
    assert same == (other not in net.read_by("segment")) == (kind not in MIXING)
    assert not bool((before["edges"] == after["edges"]).all())


@pytest.mark.parametrize("kind", KINDS)
def test_one_task_alone_and_any_size(kind):
    net, seen = model(kind, ("digit",)), observed(13, 18)
    params = shapes(net, seen)
    said = jax.eval_shape(net.apply, params, seen_by(net, seen))
    assert said["digit"].shape == (2, 3)
    assert jax.eval_shape(net.penalty, params).shape == ()
    net = model(kind)
    said = jax.eval_shape(net.apply, shapes(net, seen), seen_by(net, seen))
    assert said["segment"].shape == (2, 13, 18, 4) and said["edges"].shape == (2, 13, 18, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_may_read_other_resolutions(kind):
    net, seen = model(kind, reads={"segment": "small"}), observed(13, 18)
    if kind in ("cross_stitch", "nddr"):
        message = (
            r"exchange features of one shape, but digit reads 'masked' of shape \(13, 18, 3\) "
            r"and segment reads 'small' of shape \(7, 9, 3\)"
        )
        with pytest.raises(ValueError, match=message):
            shapes(net, seen)
        return
    said = jax.eval_shape(net.apply, shapes(net, seen), seen_by(net, seen))
    assert said["segment"].shape == (2, 7, 9, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_features_keep_their_precision(kind):
    net, seen = model(kind, dtype=jnp.bfloat16), seen_by(model(), observed())
    params = shapes(net, seen)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    features = jax.eval_shape(net.encode, params, seen)
    shared = jax.eval_shape(
        lambda p, f: net.sharing.apply({"params": p}, f, net.feature_names, SEVERAL), params["sharing"], features
    )
    assert {str(x.dtype) for x in jax.tree.leaves((features, shared))} == {"bfloat16"}


@pytest.mark.parametrize("kind", some(["hard", "mtan", "mmoe", "cgc", "dselect_k", *MIXING]))
def test_what_is_a_task_s_own_depends_on_its_name_alone(kind):
    levels = (jnp.ones((1, 4, 4, 4)), jnp.ones((1, 2, 2, 8)))
    features = {"x": Pyramid(levels, (2, 4), (8, 8))}

    def first(*tasks):
        sharing = SHARINGS[kind](tasks, **({"adapt": "norm"} if kind == "hard" else {}))
        return sharing.init(jax.random.key(0), features, dict.fromkeys(tasks, "x"), tasks)["params"]

    one, two = map(named, jax.jit(lambda: (first("a", "own"), first("own", "b", "c")))())
    common = {name for name in one if name in two}
    assert any("_own" in name for name in common)
    assert all("_a'" in name for name in set(one) - common)
    for name in common:
        if one[name].shape == two[name].shape:  # the gate of a layer of experts
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("soft", {"weight": -1.0}, "weight must be at least 0, got -1.0"),
        ("mmoe", {"experts": 0}, "experts must be at least 1, got 0"),
        ("cgc", {"layers": 0}, "layers must be at least 1, got 0"),
        ("cgc", {"shared_experts": 0}, "shared_experts must be at least 1, got 0"),
        ("dselect_k", {"experts": 6}, "experts must be a power of two, got 6"),
        ("message", {"width": 6}, "width must be a multiple of heads, got width=6 and heads=4"),
        ("relation", {"given": ((1.0, 0.0),)}, r"given must have 2 rows of 2 numbers, one per task, got \(\(1.0, 0.0"),
        ("relation", {"given": ((1.0, 2.0), (2.0, 1.0))}, "given must be symmetric and positive definite"),
    ],
)
def test_parameters_that_make_no_sense_are_named(kind, parameters, message):
    with pytest.raises(ValueError, match=message):
        SHARINGS[kind](("a", "b"), **parameters)
