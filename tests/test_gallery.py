"""The gallery's page, code and pictures belong together, and the code runs."""

import ast
import importlib.util
import pathlib
import re

import jax.numpy as jnp
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPEC = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "gallery.py")
gallery = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gallery)

FIRST, BLOCKS = gallery.blocks()
PAGE = gallery.PAGE.read_text()


def attributes(code):
    """What is read of names by dots: ("solvers.admm", ...), each as long as it goes."""
    found = {ast.unparse(node) for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)}
    return {name for name in found if re.fullmatch(r"(physics|solvers|jax|jnp|skimage)(\.\w+)+", name)}


def test_each_block_has_its_picture_and_each_picture_its_block():
    named = re.findall(r"!\[[^]]+\]\(gallery/(\w+)\.jpg\)", PAGE)
    drawn = [path.stem for path in (gallery.HERE / "gallery").iterdir()]
    assert len(named) >= 15
    assert named == list(BLOCKS)
    assert sorted(named) == sorted(drawn)
    assert PAGE.count("```python") == len(named) + 1


def test_the_pictures_are_small():
    sizes = [path.stat().st_size for path in (gallery.HERE / "gallery").glob("*.jpg")]
    assert max(sizes) < 80_000
    assert sum(sizes) < 750_000


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_short_and_names_only_what_exists(name):
    first, code = {}, BLOCKS[name]
    exec(FIRST, first)
    assert len(code.splitlines()) <= 12
    tree = ast.parse(code)
    assert not any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(tree))
    assigned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert {"x", "pictures"} <= assigned
    used = attributes(code)
    assert any(path.startswith(("physics.", "solvers.")) for path in used)
    for path in used:
        head, *rest = path.split(".")
        thing = first[head]
        for part in rest:
            assert hasattr(thing, part), path
            thing = getattr(thing, part)


def test_attributes_are_found_where_they_are_missing():
    assert attributes("solvers.nothing(y).image") == {"solvers.nothing"}
    assert "physics.kernels.motion" in attributes(BLOCKS["deconvolution"])


def test_captions_tell_the_error_of_what_can_be_compared():
    x = jnp.full((24, 30, 1), 0.5)
    pictures = {"original": x, "off": x + 0.1, "small": x[::2, ::2]}
    assert gallery.captions(x, pictures) == ["original", "off, 20.0 dB", "small"]
    assert gallery.captions(x, {"turned": -1j * (x + 0.1)}) == ["turned, 20.0 dB"]  # of a complex image, the magnitude


def test_pixels_are_clipped_and_a_sheet_is_as_high_as_it_says():
    x = jnp.array([[-1.0, 0.5, 2.0]] * 2)
    assert np.array_equal(gallery.pixels(x)[0, :, 0], [0, 128, 255])
    assert gallery.sheet(x, {"one": x, "two": x + 0.1}).height == gallery.HEIGHT + gallery.CAPTION


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name, caption", [
    ("deconvolution", "ADMM, total variation"), ("weight", None), ("photons", "ADMM, TV"), ("slopes", "TGV"),
    ("super_resolution", "ADMM, total variation"),
])  # fmt: skip
def test_a_block_runs_and_its_solver_helps(name, caption):
    left = gallery.execute(name)
    error = {said: float(jnp.mean((image - left["x"]) ** 2)) for said, image in left["pictures"].items()
             if jnp.shape(image) == left["x"].shape}  # fmt: skip
    assert all(np.isfinite(value) for value in error.values())
    if caption is not None:
        assert error[caption] == min(error.values())
    else:  # less, best and more of a weight: the middle one is the best of all
        assert list(error.values())[2] == min(error.values())
