"""The model's interface to the training step, where it differs with the sharing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sharing_models import filled, model, observed, seen_by, shapes


def test_initial_heads_predict_beside_the_final_one():
    net = model("pad_net", ("segment", "edges"))
    seen = seen_by(net, observed())
    params = filled(shapes(net, seen))
    own = params["heads"]["edges"]
    assert list(own["initial"]) == ["initial0"]
    final = {name: value for name, value in own.items() if name != "initial"}
    assert jax.tree.map(jnp.shape, own["initial"]["initial0"]) == jax.tree.map(jnp.shape, final)
    features = jax.jit(net.encode)(params, seen)
    plain = jax.jit(lambda p, f: net.decode(p, f, seen, ("edges",)))(params, features)["edges"]
    both = jax.jit(lambda p, f: net.decode(p, f, seen, ("edges",), auxiliary=True))(params, features)["edges"]
    assert isinstance(both, tuple) and len(both) == 2
    np.testing.assert_allclose(both[0], plain, atol=1e-6)
    assert not np.allclose(both[1], plain)


def test_initial_heads_begin_apart_from_the_final_one():
    net = model("pad_net", ("edges",))
    seen = seen_by(net, observed())
    own = jax.jit(lambda: net.init(jax.random.key(0), seen)["heads"]["edges"])()
    first = own["initial"]["initial0"]["ConvNormAct_0"]["Conv_0"]["kernel"]
    assert not np.allclose(own["ConvNormAct_0"]["Conv_0"]["kernel"], first)
    hard = model("hard", ("edges",))
    alone = jax.jit(lambda: hard.init(jax.random.key(0), seen)["heads"]["edges"])()
    np.testing.assert_array_equal(own["ConvNormAct_0"]["Conv_0"]["kernel"], alone["ConvNormAct_0"]["Conv_0"]["kernel"])


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_heads_that_are_not_wanted_are_not_traced(kind):
    net = model(kind, ("segment", "edges"))
    seen = seen_by(net, observed())
    params = shapes(net, seen)
    features = jax.eval_shape(net.encode, params, seen)
    text = {
        tasks: str(jax.make_jaxpr(lambda p, f, t=tasks: net.decode(p, f, seen, t))(params, features)).count("conv_gen")
        for tasks in (None, ("segment",), ("edges",))
    }
    assert text[None] == text[("segment",)] + text[("edges",)]
    assert min(text.values()) > 0


def test_a_plain_prediction_is_a_tuple_of_one_among_auxiliary_ones():
    net = model("hard", ("edges",))
    seen = seen_by(net, observed())
    params = shapes(net, seen)
    said = jax.eval_shape(lambda p: net.decode(p, net.encode(p, seen), seen, auxiliary=True), params)
    assert [x.shape for x in said["edges"]] == [(2, 16, 16, 1)]
    assert float(net.penalty(params)) == 0
