import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from ml_collections import ConfigDict

from mtjax import data, relate
from mtjax.data import Source
from mtjax.train.evaluation import Trained

NAMES, LR = ("digit", "edges"), 0.05


@pytest.fixture(scope="module")
def trained():
    parts = tiny.experiment(NAMES)
    config = ConfigDict({"data": {"source": "tiny", "batch_size": 4}, "optimizer": {"lr": LR}, "train": {"seed": 0}})
    keys = iter(jax.random.split(jax.random.key(3), 1000))
    params = jax.tree.map(lambda x: x + 0.05 * jax.random.normal(next(keys), x.shape), tiny.initial(parts).params)
    return Trained(config, parts, params, tiny.INFO, 3)


def test_affinity_and_cosine_of_a_batch(trained):
    batch = tiny.batch()
    batch["valid"]["label"][2] = False
    helped, cosine, both = jax.jit(lambda p, b: relate.relations_of_batch(trained, p, b, LR))(trained.params, batch)
    batch = jax.tree.map(jnp.asarray, batch)
    prepared, observed = relate.prepare_for_evaluation(trained.experiment.observations, {}, batch)

    @jax.jit
    def losses(encoder):
        said = trained.model.apply({**trained.params, "encoder": encoder}, observed)
        found = []
        for name, task in trained.tasks.items():
            each, valid = task.loss(said[name], task.target(prepared)), task.valid(prepared)
            found.append(jnp.where(valid, each, 0).sum() / valid.sum())
        return jnp.stack(found)

    encoder = trained.params["encoder"]  # the sharing's biases belong to one task each
    before, jacobian = losses(encoder), jax.jacrev(losses)(encoder)
    rows = [jax.tree.map(lambda leaf, i=i: leaf[i], jacobian) for i in range(2)]
    flat = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(row)]) for row in rows]
    step = losses(jax.tree.map(lambda x, g: x - LR * g, encoder, rows[0]))
    assert both.all() and np.allclose(np.diagonal(cosine), 1, atol=1e-5)
    assert np.sign(cosine[0, 1]) == np.sign(flat[0] @ flat[1])
    np.testing.assert_allclose(helped[0, 1], 1 - step[1] / before[1], rtol=0.02, atol=1e-5)
    assert helped[0, 0] > 0 and helped[1, 1] > 0


@pytest.mark.slow
def test_means_leave_out_batches_without_a_task(trained, monkeypatch):
    class Pictures(Source):
        info = tiny.INFO

        def __len__(self):
            return 12

        def __getitem__(self, index):
            raise AssertionError("batches are made here")

    labels = iter([True, False, True])

    def batch_at(source, size, seed, k):
        batch = tiny.batch(size, k)
        batch["valid"]["label"][:] = next(labels)
        return batch

    monkeypatch.setattr(relate, "batch_at", batch_at)
    monkeypatch.setitem(data.SOURCES, "tiny", lambda split, /: Pictures())
    helped, cosine = relate.relations(trained, 8)
    batches = [jax.tree.map(jnp.asarray, tiny.batch(4, k)) for k in (0, 2)]
    each = [relate.relations_of_batch(trained, trained.params, batch, LR) for batch in batches]
    np.testing.assert_allclose(helped[0, 1], np.mean([one[0][0, 1] for one in each]), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(cosine[0, 1], np.mean([one[1][0, 1] for one in each]), rtol=1e-3, atol=1e-6)
    assert np.isfinite(helped).all() and np.isfinite(cosine).all()


def test_what_is_printed(trained, monkeypatch, capsys):
    monkeypatch.setattr(relate, "restore", lambda workdir: trained)
    monkeypatch.setattr(relate, "relations", lambda *_: (np.array([[0.3, -0.2], [-0.1, 0.2]]), np.eye(2)))
    assert relate.relate_command("runs/x") == 0
    out = capsys.readouterr().out
    assert "runs/x, step 3" in out and "-20.00" in out and "edges" in out
    assert "at most 1 to train: digit + edges" in out and "at most 2 to train: digit; edges" in out
