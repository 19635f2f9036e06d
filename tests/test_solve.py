"""`mtjax solve` as a person meets it: pictures in, pictures out, and one line for what is wrong."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mtjax import cli, physics
from mtjax.physics.operator import Operator

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def terminal_untouched(monkeypatch):
    monkeypatch.setattr(cli, "prepare", lambda debug: None)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a sharp picture, blurred by a 5x5 box, and a kernel; commands run in it."""
    monkeypatch.chdir(tmp_path)
    rows, columns = np.indices((37, 50))
    sharp = np.where((rows // 9 + columns // 11) % 2, 0.75, 0.3)[..., None] * np.array([1.0, 0.9, 0.7])
    blurred = physics.Blur(np.full((5, 5), 0.04), "valid")(jnp.asarray(sharp, jnp.float32))
    save("blurred.png", np.asarray(blurred) + 0.005 * RANDOM.standard_normal(blurred.shape))
    save("gray.png", sharp[..., 0])
    np.save("sharp.npy", sharp)
    np.save("kernel.npy", np.full((5, 5), 0.04))
    return tmp_path


def save(name: str, image: np.ndarray) -> None:
    Image.fromarray(np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)).save(name)


def read(name: str) -> np.ndarray:
    return np.asarray(Image.open(name)) / 255


def solve(capsys, words: str) -> tuple[int, str, str]:
    code = cli.main(["solve", *words.split()])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


def test_a_blurred_photograph_gets_sharper_and_keeps_its_frame(folder, capsys):
    flags = "--operator=blur --kernel=kernel.npy --method=admm --prior=tv --weight=2e-4 --method.iterations=25"
    code, out, _ = solve(capsys, f"blurred.png {flags} --out=deep/restored.png")
    assert code == 0 and "deep/restored.png" in out
    sharp = np.load("sharp.npy")[2:-2, 2:-2]
    restored = read("deep/restored.png")
    assert restored.shape == sharp.shape
    assert error(restored, sharp) < 0.5 * error(read("blurred.png"), sharp)
    before_after = read("deep/restored-before-after.png")
    assert before_after.shape[1] >= 2 * sharp.shape[1]
    np.testing.assert_allclose(before_after[-len(sharp) :, -sharp.shape[1] :], restored)


def test_the_weight_is_chosen_where_none_is_given(folder, capsys):
    sharp = np.load("sharp.npy")
    save("noisy.png", sharp + 0.08 * RANDOM.standard_normal(sharp.shape))
    code, out, _ = solve(capsys, "noisy.png --method=wiener --out=w.png")
    assert code == 0 and "noise_to_signal" in out
    assert 1e-4 < float(out.split("noise_to_signal")[1].split(":")[0]) < 0.5  # its range is from 1e-5 to 1
    assert error(read("w.png"), sharp) < 0.8 * error(read("noisy.png"), sharp)


def test_a_gray_picture_stays_gray_and_missing_pixels_are_filled(folder, capsys):
    known = RANDOM.uniform(size=(37, 50)) < 0.6
    save("mask.png", known)
    code, _, _ = solve(capsys, "gray.png --operator=mask --mask=mask.png --method=bicubic --out=filled.npy")
    assert code == 0
    filled, gray = np.load("filled.npy"), read("gray.png")
    assert filled.shape == (37, 50, 1)
    np.testing.assert_allclose(filled[known][:, 0], gray[known], atol=1e-6)
    assert not np.allclose(filled[~known][:, 0], gray[~known])


def test_super_resolution_makes_it_larger(folder, capsys):
    assert solve(capsys, "gray.png --operator=downsample --operator.factor=2 --method=bicubic --out=large.png")[0] == 0
    assert read("large.png").shape == (74, 100)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "mtjax solve takes one file"),
        ("nothing.png", "the photograph 'nothing.png' is not a file"),
        ("kernel.npy --operator=radom", "unknown --operator"),
        ("kernel.txt", "kernel.txt"),
        ("gray.png --method=amdm", "did you mean 'admm'"),
        ("gray.png --prior=tvv", "did you mean 'tv'"),
        ("gray.png --method=wiener --prior=tv", "--prior=tv is not for --method=wiener"),
        ("gray.png --method.iteratoins=3", "did you mean 'iterations'"),
        ("gray.png --method.iterations=few", "--method.iterations must be an integer"),
        ("gray.png --weight=much", "--weight=much is not a weight"),
        ("gray.png --method=bicubic --weight=3", "no weight"),
        ("gray.png --operator=blur --kernel=nothing.npy", "nothing.npy"),
        ("gray.png --operator=blur --kernel=sharp.npy", "sharp.npy"),
        ("gray.png --operator=blur --kernel=gray.png", "the kernel has 37x50 pixels"),
        ("gray.png --kernel=kernel.npy", "--kernel belongs to --operator=blur"),
        ("gray.png --operator=mask", "--operator=mask needs --mask=FILE"),
        ("gray.png --operator=mask --mask=blurred.png", "the photograph (37, 50)"),
        ("gray.png --operator=downsample --operator.factr=2", "did you mean 'factor'"),
        ("gray.png --out=restored.doc", "cannot write '.doc'"),
        ("gray.png --method=filtered_back_projection", "operator 'radon'"),
    ],
)
def test_what_is_wrong_is_one_line(folder, capsys, words, message):
    (folder / "kernel.txt").write_text("not a picture")
    code, out, err = solve(capsys, words)
    assert code in (1, 2) and not out
    last = err.strip().splitlines()[-1]
    assert last.startswith("mtjax: error: ") and message in last


def test_operators_without_a_boundary_are_not_framed():
    from mtjax.solve import framed

    image = np.ones((4, 4, 1))
    operator: Operator = physics.Identity()
    assert framed(image, image, operator) is image
