"""The mathematics of sharings with an encoder per task."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sharing_models import disturbed, filled, model, observed, seen_by, shapes

from mtjax import flops
from mtjax.models import SHARINGS
from mtjax.models.encoders import unet
from mtjax.models.sharing.cross_stitch import Stitch, mostly_own
from mtjax.models.sharing.nddr import Fusion

TASKS = ("digit", "segment", "edges")
X = tuple(jax.random.normal(jax.random.key(i), (2, 3, 3, 4)) for i in range(3))


@pytest.mark.slow
def test_stages_of_the_unet_are_its_way_down():
    encoder, x = unet(None, width=4, depth=2), jax.random.normal(jax.random.key(0), (1, 8, 8, 5))
    params, seen = jax.jit(encoder.init)(jax.random.key(1), x), []

    def between(stage, x):
        seen.append((stage, x.shape))
        return x

    np.testing.assert_array_equal(encoder.apply(params, x)[0], encoder.apply(params, x, between)[0])
    assert seen == [(0, (1, 4, 4, 4)), (1, (1, 2, 2, 8))]
    cut = encoder.apply(params, x, lambda stage, x: x if stage else jnp.zeros_like(x))
    other = encoder.apply(params, x + 1, lambda stage, x: x if stage else jnp.zeros_like(x))
    np.testing.assert_array_equal(cut[0], other[0])  # what goes on, also sideways, is what `between` gave


def test_stitches_with_the_identity_are_separate_encoders():
    nets = {kind: model(kind, TASKS) for kind in ("cross_stitch", "soft")}
    seen = seen_by(nets["soft"], observed())
    params = filled(shapes(nets["cross_stitch"], seen))
    assert all(leaf.shape[0] == 3 for leaf in jax.tree.leaves(params["encoder"]))
    own = {stage: {"matrix": jnp.eye(3)} for stage in params["sharing"]}
    assert list(own) == ["stage0", "stage1"]
    stitched = jax.jit(nets["cross_stitch"].encode)
    apart = jax.jit(nets["soft"].encode)(params, seen)
    together = stitched({**params, "sharing": own}, seen)
    for task in TASKS:
        for x, y in zip(together[task].levels, apart[task].levels, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-5)
    i = TASKS.index("segment")  # and those are the encoder itself, with each task's parameters
    alone = model("hard", ("segment",))
    plain = alone.encode({"encoder": jax.tree.map(lambda x: x[i], params["encoder"])}, seen)
    np.testing.assert_allclose(plain["blurred"].finest, apart["segment"].finest, atol=1e-5)
    mixed = stitched(params, seen)
    assert not np.allclose(mixed["segment"].finest, apart["segment"].finest, atol=1e-3)


@pytest.mark.slow
def test_copies_begin_as_the_encoder_of_one_task_alone():
    seen = observed()
    one = jax.jit(model("hard", ("segment",)).init)(jax.random.key(0), {"blurred": seen["blurred"]})
    net = model("soft", TASKS)
    params = jax.jit(net.init)(jax.random.key(0), seen_by(net, seen))
    for single, copies in zip(jax.tree.leaves(one["encoder"]), jax.tree.leaves(params["encoder"]), strict=True):
        for copy in copies:
            np.testing.assert_array_equal(copy, single)


def test_rows_of_first_weights_sum_to_one():
    np.testing.assert_allclose(mostly_own(3, 0.9), [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]])
    np.testing.assert_array_equal(mostly_own(1, 0.9), [[1.0]])


def test_a_stitch_is_the_matrix_times_the_tasks():
    matrix = jax.random.normal(jax.random.key(5), (3, 3))
    out = Stitch(0.9, False).apply({"params": {"matrix": matrix}}, X)
    np.testing.assert_allclose(out[1], sum(matrix[1, j] * X[j] for j in range(3)), rtol=1e-4, atol=1e-5)
    each = jax.random.normal(jax.random.key(5), (3, 3, 4))
    out = Stitch(0.9, True).apply({"params": {"matrix": each}}, X)
    np.testing.assert_allclose(out[2], sum(each[2, j] * X[j] for j in range(3)), rtol=1e-4, atol=1e-5)
    assert Stitch(0.9, True).init(jax.random.key(0), X)["params"]["matrix"].shape == (3, 3, 4)


def test_nddr_projects_the_concatenated_channels():
    fusion = Fusion(("a", "b", "c"), 0.8)
    first = fusion.init(jax.random.key(0), X)["params"]
    kernel = first["task_b"]["mix"]["kernel"][0, 0]
    np.testing.assert_allclose(kernel, np.kron([[0.1], [0.8], [0.1]], np.eye(4)))
    params = disturbed(first)
    out = fusion.apply({"params": params}, X)
    own = params["task_b"]
    x = jnp.concatenate(X, -1) @ own["mix"]["kernel"][0, 0]
    x = (x - x.mean((1, 2), keepdims=True)) / jnp.sqrt(
        x.var((1, 2), keepdims=True) + 1e-6
    )  # four channels, four groups
    np.testing.assert_allclose(out[1], jax.nn.gelu(x * own["norm"]["scale"] + own["norm"]["bias"]), atol=1e-4)


def test_the_price_of_soft_sharing():
    sharing = SHARINGS["soft"](("a", "b", "c"), weight=0.5)
    x = jax.random.normal(jax.random.key(0), (3, 4, 5))
    price = lambda x: sharing.penalty({"encoder": {"kernel": x, "bias": jnp.ones((3, 2))}})  # noqa: E731
    assert float(price(jnp.broadcast_to(x[:1], x.shape))) < 1e-10
    mean = np.mean(x, 0)
    np.testing.assert_allclose(price(x), 0.5 * sum(np.sum((x[i] - mean) ** 2) for i in range(3)), rtol=1e-5)
    np.testing.assert_allclose(jax.grad(price)(x), x - mean, atol=1e-5)  # 2 weight (θ - θ̄), to the mean


def test_copies_do_the_work_of_so_many_encoders():
    counts = {}
    for kind in ("soft", "cross_stitch"):
        net = model(kind, TASKS)
        seen = seen_by(net, observed())
        counts[kind] = flops.by_module(net.encode, shapes(net, seen), seen)
    one = model("hard", ("segment",))
    alone = flops.by_module(one.encode, shapes(one, observed()), {"blurred": observed()["blurred"]})
    encoder = {name: count for name, count in alone.items() if name.startswith("UNet/")}
    assert len(encoder) > 10
    for name, count in encoder.items():
        assert counts["soft"][name] == counts["cross_stitch"][name] == 3 * count, name
    assert any(name.startswith("Stitch") for name in counts["cross_stitch"])
