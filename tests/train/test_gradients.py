"""The engine of the step, against one `jax.grad` for each task."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from mtjax import config as configs
from mtjax import weighting
from mtjax.physics import observe
from mtjax.registry import ConfigError
from mtjax.train.balancing import Balancing, diagnostics, normalized, shared_parameters
from mtjax.train.build import build_balancing
from mtjax.train.gradients import weighted_gradients
from mtjax.train.step import make_train_step
from mtjax.weighting import WEIGHTINGS

NAMES = ("inpaint", "digit", "edges")  # the first and the last read the same observation
COUNTS = jnp.array([4.0, 3.0, 4.0])
KEY = jax.random.key(5)


@functools.cache
def problem():
    """(experiment, parameters away from their initial zeros, batch, observed); one label is missing."""
    parts = tiny.experiment(NAMES, encoder=tiny.Plain())
    batch = jax.tree.map(jnp.asarray, tiny.batch())
    batch["image"] = batch["image"].astype(jnp.float32) / 255
    batch["valid"]["label"] = batch["valid"]["label"].at[1].set(False)

    @jax.jit  # one program: hundreds of small ones take longer to compile
    def start():
        keys = jax.vmap(lambda i: jax.random.fold_in(KEY, i))(batch["index"])
        observed = {name: observe(node, keys, batch["image"]) for name, node in parts.observations.items()}
        leaves, tree = jax.tree.flatten(tiny.initial(parts).params)
        keys = jax.random.split(KEY, len(leaves))
        moved = [leaf + 0.05 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
        return jax.tree.unflatten(tree, moved), observed

    params, observed = start()
    return parts, params, batch, observed


def update(balancing, present=(True, True, True), state=None, refresh=True):
    parts, params, batch, observed = problem()
    counts = jnp.where(jnp.array(present), COUNTS, 0)
    valid = {**batch["valid"]}
    for name, here in zip(NAMES, present, strict=True):
        for field in parts.tasks[name].fields:
            valid[field] = valid[field] & here if not here else valid[field]
    state = balancing.init(params, len(NAMES)) if state is None else state
    with jax.default_matmul_precision("highest"):
        return compiled(balancing, refresh)(params, {**batch, "valid": valid}, observed, counts, state)


@functools.cache
def compiled(balancing, refresh):
    parts = problem()[0]

    @jax.jit
    def run(params, batch, observed, counts, state):
        return weighted_gradients(
            balancing, parts.model, parts.tasks, params, observed, batch, counts, state, KEY, lambda x: x, refresh
        )

    return run


@functools.cache
def reference():
    """By task: the gradient of its loss by all parameters; and, by task and half, that of the half's loss."""
    parts, params, batch, observed = problem()

    @jax.jit
    def gradients(params):
        def losses(params):
            said = parts.model.apply(params, observed)
            rows = []
            for name, task in parts.tasks.items():
                each, valid = task.loss(said[name], task.target(batch)), task.valid(batch)
                masks = [valid, valid & (batch["position"] % 2 == 0), valid & (batch["position"] % 2 == 1)]
                rows.append(jnp.stack([jnp.where(mask, each, 0).sum() / mask.sum() for mask in masks]))
            return jnp.stack(rows)

        return losses(params), jax.jacrev(losses)(params)

    return gradients(params)


def flat(tree):
    return np.concatenate([np.zeros(0), *(np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree))])


def rows(half=0):
    """The reference's gradients of the shared parameters, `[T, P]`."""
    shared = shared_parameters(reference()[1])
    return np.stack([flat(jax.tree.map(lambda leaf, i=i: leaf[i, half], shared)) for i in range(len(NAMES))])


def method(kind, **params):
    return weighting.make(kind, names=NAMES, **params)


EQUAL, MGDA = Balancing(method("equal")), Balancing(method("mgda"), "parameters")


def test_equal_weights_give_the_gradient_of_the_mean_loss():
    found = update(EQUAL)
    losses, jacobian = reference()
    np.testing.assert_allclose(found.losses, losses[:, 0], rtol=1e-5)
    expected = flat(jax.tree.map(lambda leaf: leaf[:, 0].mean(0), jacobian))
    np.testing.assert_allclose(flat(found.gradients), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "balancing",
    [
        pytest.param(MGDA, id="one by one"),
        pytest.param(Balancing(method("mgda"), "parameters", chunk=2), id="in chunks", marks=pytest.mark.slow),
        pytest.param(Balancing(method("mgda"), "parameters", low_memory=True), id="low memory", marks=pytest.mark.slow),
    ],
)
def test_gradients_at_the_parameters_are_those_of_each_loss(balancing):
    found, expected = update(balancing), rows()
    np.testing.assert_allclose(found.gram, expected @ expected.T, rtol=1e-4, atol=1e-7)
    assert float(found.weights.sum()) == pytest.approx(1, rel=1e-5)
    direction = np.asarray(found.weights, np.float64) @ expected
    np.testing.assert_allclose(flat(shared_parameters(found.gradients)), direction, rtol=1e-3, atol=1e-6)


def test_a_method_of_gradients_leaves_each_head_its_own_loss():
    found, jacobian = update(MGDA), reference()[1]
    assert float(jnp.abs(found.weights - 1 / 3).max()) > 0.05  # or this would not tell the two conventions apart
    for i, name in enumerate(NAMES):
        own = jax.tree.map(lambda leaf, i=i: leaf[i, 0], jacobian["heads"][name])
        np.testing.assert_allclose(flat(found.gradients["heads"][name]), flat(own), rtol=1e-4, atol=1e-6)


def test_a_method_of_losses_weights_each_head():
    found, jacobian = update(Balancing(method("fixed", weights=[1.0, 0.25, 3.0]))), reference()[1]
    for i, (name, weight) in enumerate(zip(NAMES, [1.0, 0.25, 3.0], strict=True)):
        own = jax.tree.map(lambda leaf, i=i: leaf[i, 0], jacobian["heads"][name])
        np.testing.assert_allclose(flat(found.gradients["heads"][name]), weight * flat(own), rtol=1e-4, atol=1e-6)


def test_gram_at_the_features_and_its_update():
    parts, params, batch, observed = problem()
    features = parts.model.encode(params, observed)

    def losses(features):
        said = parts.model.decode(params, features, observed)
        return jnp.stack(
            [
                jnp.where(t.valid(batch), t.loss(said[n], t.target(batch)), 0).sum() / c
                for (n, t), c in zip(parts.tasks.items(), COUNTS, strict=True)
            ]
        )

    jacobian = jax.jit(jax.jacrev(losses))(features)
    z = np.stack([flat(jax.tree.map(lambda leaf, i=i: leaf[i], jacobian)) for i in range(len(NAMES))])
    found = update(Balancing(method("mgda"), "features"))
    np.testing.assert_allclose(found.gram, z @ z.T, rtol=1e-4, atol=1e-8)
    assert found.gram[0, 1] == 0 and found.gram[0, 2] != 0  # other observations, and the same one
    at_parameters = update(MGDA)
    assert float(jnp.abs(found.weights - at_parameters.weights).max()) > 1e-3  # two different methods
    direction = np.asarray(found.weights, np.float64) @ rows()  # the encoder is linear in the features' gradient
    np.testing.assert_allclose(flat(shared_parameters(found.gradients)), direction, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_the_two_halves_of_a_batch():
    seen = {}

    def look(signals, state):
        return signals.losses, {"gram": signals.gram, "cross": signals.cross}

    seen = update(Balancing(method("modo")._replace(update=look), "parameters"))
    first, second = rows(1), rows(2)
    np.testing.assert_allclose(seen.state["method"]["cross"], first @ second.T, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(seen.gram, rows() @ rows().T, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("level", ["features", "parameters"])
def test_a_direction_of_its_own_is_as_long_as_a_mean(level):
    # With the leak open, the sum of the gradients: divided by three, their mean.
    found = update(Balancing(method("graddrop", leak=1.0), level))
    shared = flat(shared_parameters(found.gradients))
    np.testing.assert_allclose(shared, rows().mean(0), rtol=1e-3, atol=1e-6)
    closed = flat(shared_parameters(update(Balancing(method("graddrop"), level)).gradients))
    assert np.linalg.norm(closed - shared) > 2e-3 * np.linalg.norm(shared)


@pytest.mark.slow
def test_buffers_at_the_parameters():
    found = update(Balancing(method("db_mtl"), "parameters"))
    losses, expected = np.asarray(reference()[0][:, 0], np.float64), rows()
    log = expected / losses[:, None]
    norms = np.linalg.norm(log, axis=1)
    ratios = norms.max() / norms
    np.testing.assert_allclose(found.weights, ratios / ratios.sum(), rtol=1e-3)
    direction = 0.1 * ratios @ log / ratios.sum()  # the buffers began at 0, and took in a tenth
    np.testing.assert_allclose(flat(shared_parameters(found.gradients)), direction, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "balancing",
    [MGDA, *(pytest.param(Balancing(method(kind)), marks=pytest.mark.slow) for kind in ("nash_mtl", "log"))],
)
def test_an_absent_task_moves_nothing(balancing):
    found = update(balancing, (True, False, True))
    assert float(found.weights[1]) == 0 and float(found.losses[1]) == 0
    assert not flat(found.gradients["heads"]["digit"]).any()
    alone = update(balancing, (False, False, True))
    if balancing.of_gradients:
        np.testing.assert_allclose(alone.weights, [0, 0, 1], rtol=1e-6)
        np.testing.assert_allclose(flat(shared_parameters(alone.gradients)), rows()[2], rtol=1e-3, atol=1e-6)
    nothing = update(balancing, (False, False, False))
    assert not flat(nothing.gradients).any() and np.isfinite(flat(nothing.state)).all()


@pytest.mark.slow
def test_weights_are_kept_between_updates():
    balancing = Balancing(method("mgda"), "parameters", every=3)
    first = update(balancing)
    kept = update(balancing, state=first.state, refresh=False)
    np.testing.assert_array_equal(kept.weights, first.weights)
    np.testing.assert_array_equal(kept.gram, first.gram)
    np.testing.assert_allclose(flat(kept.gradients), flat(first.gradients), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(update(balancing, (True, False, True), first.state, False).weights[1], 0)


def test_the_penalty_of_the_sharing_joins_the_gradient(monkeypatch):
    parts = problem()[0]
    before = flat(update(EQUAL).gradients)
    penalty = lambda self, params: 0.5 * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))  # noqa: E731
    monkeypatch.setattr(type(parts.model), "penalty", penalty)
    balancing = Balancing(EQUAL.weighting, every=7)  # another key for the cache
    np.testing.assert_allclose(flat(update(balancing).gradients) - before, flat(problem()[1]), rtol=1e-3, atol=1e-5)


FEW = ("fixed", "famo", "nash_mtl", "graddrop", "db_mtl", "modo")  # one of every kind of method


@pytest.mark.parametrize(
    "kind", [kind if kind in FEW else pytest.param(kind, marks=pytest.mark.slow) for kind in WEIGHTINGS]
)
def test_every_method_steps_at_every_level(kind):
    made = method(kind)
    for level in made.levels:
        parts = tiny.with_balancing(tiny.experiment(("digit", "edges")), Balancing(method_of(kind), level))
        state = jax.eval_shape(lambda parts=parts: tiny.initial(parts))
        after, metrics = jax.eval_shape(make_train_step(parts), state, tiny.batch())
        for new, old in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
            assert (new.shape, new.dtype) == (old.shape, old.dtype)
        assert metrics["weights"].shape == (2,) and metrics["cosine"].shape == (2, 2)
        assert ("solved" in metrics) == ("converged" in (state.weighting["method"] or ()))


def method_of(kind):
    return weighting.make(kind, names=("digit", "edges"))


@pytest.mark.slow
def test_famo_looks_at_the_same_batch_again():
    parts = tiny.with_balancing(tiny.experiment(("digit", "edges")), Balancing(method_of("famo")))
    state = tiny.initial(parts)
    step = jax.jit(make_train_step(parts))
    after, _ = step(state, tiny.batch())
    learned = [np.asarray(leaf) for leaf in jax.tree.leaves(after.weighting) if leaf.shape == (2,)]
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(state.weighting) if leaf.shape == (2,)]
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(learned, before, strict=True))


def test_normalized_weights():
    np.testing.assert_allclose(normalized(jnp.array([1.0, -3.0])), [0.25, -0.75])
    np.testing.assert_array_equal(normalized(jnp.zeros(3)), jnp.zeros(3))


def test_diagnostics_by_hand():
    gradients = np.array([[3.0, 4.0], [-3.0, 0.0], [0.0, 0.0], [0.0, 0.5]])
    said = diagnostics(jnp.asarray(gradients @ gradients.T, jnp.float32), jnp.array([True, True, False, True]))
    np.testing.assert_allclose(said["cosine"][0], [1, -0.6, 0, 0.8], atol=1e-6)
    assert float(said["conflict_rate"]) == pytest.approx(1 / 3) and float(said["norm_ratio"]) == pytest.approx(10)
    nothing = diagnostics(jnp.zeros((2, 2)), jnp.zeros(2, bool))
    assert all(np.isfinite(value).all() for value in nothing.values())


def balanced(*changes):
    node = configs.resolve(configs.read("configs/quickstart.py"), [f"--config.weighting.{c}" for c in changes])[0]
    return build_balancing(node.weighting, NAMES, problem()[0].model)


def test_a_config_says_how_a_weighting_is_served():
    made = balanced("kind=upgrad", "level=parameters", "low_memory=true", "every=5", "preference.digit=2")
    assert (made.level, made.low_memory, made.every) == ("parameters", True, 5)
    assert "average" in balanced("kind=mgda", "smoothing=0.9").weighting.init()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["kind=moco"], r"weighting.level='features': moco takes task gradients at the parameters only"),
        (["kind=mgda", "low_memory=true"], "weighting.low_memory is for weighting.level='parameters'"),
        (["kind=moco", "level=parameters", "every=2"], "weighting.every=2: moco gives no weights that could be kept"),
        (["kind=mgda", "level=feature"], "weighting.level"),
        (["kind=mgda", "every=0"], "weighting.every"),
        (["kind=equal", "preference.digits=2"], "digits"),
    ],
)
def test_a_combination_without_sense_is_one_line(changes, message):
    with pytest.raises((ConfigError, ValueError), match=message) as error:
        balanced(*changes)
    assert "\n" not in str(error.value)


def test_weights_before_their_first_update_are_equal():
    state = Balancing(method("mgda"), "parameters", every=3).init(problem()[1], len(NAMES))
    np.testing.assert_allclose(state["weights"], 1 / 3, rtol=1e-6)
