"""Published protocols on synthetic pictures: how they degrade and measure, and the table that comes of it."""

import dataclasses
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import color, metrics

from mtjax import physics, solvers
from mtjax.compare import protocols
from mtjax.compare.protocols import (
    compressed_sensing,
    deblurring,
    denoising,
    inpainting,
    kspace,
    measures,
    measuring,
    methods,
    motion_blur,
    report,
    results,
    super_resolution,
)
from mtjax.compare.protocols.command import protocol_command
from mtjax.compare.protocols.pictures import MissingError, pictures, read
from mtjax.compare.protocols.protocol import CannotError
from mtjax.physics import Blur
from mtjax.registry import ConfigError

REAL = pathlib.Path(__file__).resolve().parents[2].parent / "shared/data"
NOWHERE = pathlib.Path("nowhere")
needs_pictures = pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared/data beside the project")


def picture(height=36, width=40, channels=1, seed=0):
    """A smooth picture of whole numbers 0..255 in float64."""
    noise = np.random.default_rng(seed).normal(size=(height, width, channels))
    smooth = ndimage.gaussian_filter(noise, (2, 2, 0), mode="wrap")
    return np.round(np.clip(smooth / smooth.std() * 50 + 128, 0, 255))


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.squeeze(image).astype(np.uint8)).save(path)


def test_psnr_and_luminance_are_those_of_skimage():
    x, y = picture(channels=3), picture(channels=3, seed=1)
    assert measures.psnr(x, y) == pytest.approx(metrics.peak_signal_noise_ratio(x, y, data_range=255), abs=1e-9)
    expected = color.rgb2ycbcr(x.astype(np.uint8))[..., :1]
    np.testing.assert_array_equal(measures.luminance(x), np.round(expected))


def test_stored_clips_and_rounds_halves_up():
    image = np.array([-0.1, 0.5 / 255, 1.49 / 255, 2.5 / 255, 1.2])
    np.testing.assert_array_equal(measures.stored(image), [0, 1, 1, 3, 255])


def test_modcrop_and_shave_leave_what_they_say():
    image = picture(35, 40)
    assert measures.modcrop(image, 3).shape == (33, 39, 1)
    np.testing.assert_array_equal(measures.shave(image, 4), image[4:31, 4:36])


@pytest.mark.parametrize("sigma", denoising.LEVELS)
def test_noise_is_seeded_for_each_picture_and_not_clipped(sigma):
    black, other = np.zeros((48, 64, 1)), picture(48, 64)
    first, second = (denoising.noisy(image, NOWHERE, sigma) for image in (black, other))
    np.testing.assert_allclose(255 * second.y - other, 255 * first.y, atol=1e-4)
    assert first.y.min() < 0
    assert 255 * first.y.std() == pytest.approx(sigma, rel=0.03) and first.sigma == sigma / 255


def test_only_luminance_inside_the_border_is_measured():
    image = picture(37, 41, 3)
    case = super_resolution.decimated(image, NOWHERE, 3)
    assert case.clean.shape == (36, 39, 1) and case.y.shape == (12, 13, 1) and case.color.shape == (12, 13, 3)
    np.testing.assert_array_equal(np.round(255 * case.color), (255 * case.color).round(3))
    restored = case.clean / 255
    restored[:3] = restored[:, -3:] = 0
    assert super_resolution.luminance_psnr(dataclasses.replace(case, clean=case.clean + 10), restored) == pytest.approx(
        20 * np.log10(255 / 10)
    )
    assert super_resolution.luminance_psnr(case, image[:36, :39] / 255) == 100


def test_the_third_scenario_has_its_blurred_snr():
    case = deblurring.blurred(picture(64, 64), NOWHERE, 2)
    clear = np.asarray(case.operator(jnp.asarray(case.clean / 255, jnp.float32)))
    assert 10 * np.log10(clear.var() / case.sigma**2) == pytest.approx(40, abs=1e-3)
    assert all(kernel.sum() == pytest.approx(1) for kernel, _ in deblurring.scenarios())


def test_isnr_of_what_was_observed_is_none():
    case = deblurring.blurred(picture(64, 64), NOWHERE, 0)
    assert measures.isnr(case, case.y) == 0
    assert measures.isnr(case, (case.clean / 255 + case.y) / 2) == pytest.approx(20 * np.log10(2), abs=1e-4)


def test_motion_blur_cuts_off_what_is_behind_the_point(tmp_path):
    kernel = np.random.default_rng(3).random((5, 7))
    kernel /= kernel.sum()
    np.savez(tmp_path / "levin09.npz", k2=kernel)
    image = picture(40, 44, 3)
    case = motion_blur.blurred(image, tmp_path, "k2", 2.55)
    clean = image[:40, :40]
    shifts = [(i, j) for i in range(5) for j in range(7)]
    convolved = sum(kernel[i, j] * np.roll(clean, (i - 2, j - 3), (0, 1)) for i, j in shifts)
    noise = np.random.RandomState(0).normal(0, 0.01, clean.shape)
    np.testing.assert_allclose(case.y, np.floor(convolved + 1e-9) / 255 + noise, atol=1e-6)
    operated = np.asarray(case.operator(jnp.asarray(clean / 255, jnp.float32)))
    np.testing.assert_allclose(operated, convolved / 255, atol=1e-5)


def test_blocks_are_measured_row_by_row_beyond_the_border_black(tmp_path):
    phi = np.random.default_rng(0).normal(size=(20, 1089)).astype(np.float32) / 33
    np.save(tmp_path / "phi_0_10_1089.npy", phi)
    image = picture(36, 40)
    case = compressed_sensing.measured(image, tmp_path, 10)
    block = np.zeros((33, 33))
    block[:3, :33] = image[33:, :33, 0] / 255
    assert case.y.shape == (2, 2, 20)
    np.testing.assert_allclose(case.y[1, 0], phi @ block.ravel(), atol=1e-5)
    wide = np.ones((66, 66, 1))
    wide[:36, :40] = case.clean / 255
    assert measures.clipped_psnr(case, wide) == 100


def test_kspace_keeps_the_frequencies_of_the_mask(tmp_path):
    mask = (np.random.default_rng(0).random((36, 40)) < 0.3).astype(np.uint8)
    np.save(tmp_path / "ista_mask_30.npy", mask)
    image = picture()
    case = kspace.measured(image, tmp_path, 30)
    spectrum = mask * np.fft.fft2(image[..., 0] / 255, norm="ortho")
    np.testing.assert_allclose(case.y, np.stack([spectrum.real, spectrum.imag], -1), atol=1e-5)


def test_a_pixel_that_is_black_in_all_channels_is_missing(tmp_path):
    image = np.maximum(picture(channels=3), 1)
    image[0, 0] = [0, 9, 9]
    known = np.random.default_rng(0).random((36, 40, 1)) < 0.5
    known[0, 0] = True
    write(tmp_path / "x_masked.png", image * known)
    case = inpainting.masked(image, tmp_path, "x")
    np.testing.assert_array_equal(case.operator.mask > 0, known)


def small(measure=measures.stored_psnr, **parts):
    """A protocol of two settings, of which the pictures of one are looked for."""
    first = protocols.Setting("first, σ 25", ("Set2",), (lambda i, d: denoising.noisy(i, d, 25),), count=2)
    second = dataclasses.replace(first, name="second", folders=("Elsewhere",))
    observed = protocols.Method("noisy", methods.estimate)
    row = protocols.Published("other", {"first, σ 25": 30.0, "second": 1.0}, "a paper", checked=False)
    defaults = {"settings": (first, second), "methods": (observed,), "published": (row,)}
    return protocols.Protocol("small", "Small", "Some rules.", "PSNR in dB", measure, **defaults | parts)


@pytest.fixture
def data(tmp_path):
    for seed in range(2):
        write(tmp_path / "sets" / "Set2" / f"{seed}.png", picture(seed=seed))
    return tmp_path


def test_a_table_has_ours_beside_theirs_and_says_what_is_missing(data, tmp_path):
    result = measuring.measure(small(), data)
    published, ours = result.rows
    assert published.values == {"first, σ 25": 30.0} and published.source == "a paper"
    images = [picture(seed=seed) for seed in range(2)]
    noise = 25 * np.random.default_rng(0).standard_normal(images[0].shape)
    expected = np.mean([measures.psnr(x, np.floor(np.clip(x + noise, 0, 255) + 0.5)) for x in images])
    assert ours.values["first, σ 25"] == pytest.approx(expected, abs=1e-3)
    assert result.missing == ("second: there is no folder Elsewhere of pictures",)
    results.save(result, tmp_path / "small.json")
    again = results.load(tmp_path / "small.json")
    assert again.columns == result.columns and again.rows[0] == published
    text = report.markdown(again)
    assert "| other | 30.00† |" in text and f"| **noisy** | {expected:.2f} |" in text
    assert "other: a paper († as remembered, not compared with the source)" in text


def test_what_was_measured_is_kept_unless_the_world_has_changed(data):
    before = measuring.measure(small(), data)
    marked = dataclasses.replace(before.rows[1], values={"first, σ 25": 1.0}, date="2020-02-29")
    earlier = dataclasses.replace(before, rows=(before.rows[0], marked))
    assert measuring.measure(small(), data, earlier=earlier).rows[1] == marked
    other = dataclasses.replace(earlier, made={**earlier.made, "versions": {"jax": "0"}})
    assert measuring.measure(small(), data, earlier=other).rows[1].values == before.rows[1].values
    more = protocols.Method("noisy", methods.estimate), protocols.Method("half", lambda y, *rest: y / 2)
    rows = measuring.measure(small(methods=more), data, earlier=earlier).rows
    assert rows[1] == marked and rows[2].method == "half"
    whole = dataclasses.replace(before, rows=rows)
    assert f"`mtjax protocol small`, 2020-02-29 to {before.made['date']}, " in report.markdown(whole)
    kept = dataclasses.replace(marked, method="trained a")
    earlier = dataclasses.replace(earlier, rows=(*earlier.rows, kept))
    trained = [protocols.Method("trained b", lambda y, *rest, shift=shift: y + shift) for shift in (0.0, 0.1)]
    rows = measuring.measure(small(), data, trained, earlier).rows
    assert rows[2] == kept and rows[3].method == "trained b" and len(rows) == 4
    assert rows[3].spread["first, σ 25"] > 0 and "2 trainings" in rows[3].note
    assert (
        measuring.measure(small(), data, [dataclasses.replace(trained[0], name="trained a")], earlier).rows[2] != kept
    )


def test_several_trainings_are_a_mean_and_its_spread():
    rows = [results.Row("a", "ours", {"x": value, "y": 1.0}, seconds=value) for value in (1.0, 2.0, 6.0)]
    row = results.over_seeds(rows)
    assert row.values == {"x": 3.0, "y": 1.0} and row.seconds == 3.0 and row.note == "3 trainings"
    assert row.spread == {"x": pytest.approx(7**0.5), "y": 0.0}
    assert results.over_seeds(rows[:1]) == rows[0]
    column = results.Column("x", 1, 1)
    result = results.Result(
        "p", "P", "", "dB", (column,), (row,), (), {"versions": {}, "date": "", "cores": 2, "device": "cpu"}
    )
    assert "| **a** (3 trainings) | 3.00 ± 2.65 | 3 |" in report.markdown(result)


def test_a_method_has_no_figure_where_it_cannot_read(data):
    def run(y, operator, sigma, value):
        if isinstance(operator, Blur):
            raise CannotError("no blur, please")
        return y

    first = small().settings[0]
    blurred = dataclasses.replace(first, name="blurred", degrade=(partial(deblurring.blurred, number=3),))
    method = protocols.Method("shy", run)
    row = measuring.measure(small(settings=(first, blurred), methods=(method,), published=()), data).rows[0]
    assert set(row.values) == {"first, σ 25"}
    with pytest.raises(CannotError, match="shy: no blur, please"):
        measuring.measure(small(settings=(blurred,), methods=(method,), published=()), data)


def test_the_best_value_is_taken_picture_by_picture(data):
    shrink = protocols.Method("times", lambda y, operator, sigma, value: value * y, (0.0, 0.5, 1.0))
    at_most = measuring.measure(small(methods=(shrink,)), data).rows[-1].values["first, σ 25"]
    each = [
        measuring.measure(small(methods=(dataclasses.replace(shrink, values=(v,)),)), data).rows[-1]
        for v in shrink.values
    ]
    assert at_most == pytest.approx(max(row.values["first, σ 25"] for row in each), abs=1e-6)


def test_pictures_that_authors_published_are_measured_alike(data):
    write(data / "sets" / "theirs.png", picture(seed=0) + 5 * (picture(seed=0) < 200))
    setting = dataclasses.replace(small().settings[0], only=("0",), results={"theirs": "theirs.png"})
    row = measuring.measure(small(settings=(setting,), published=(), results="there"), data).rows[0]
    expected = measures.psnr(picture(seed=0), read(data / "sets" / "theirs.png"))
    assert (row.method, row.kind, row.source) == ("theirs", "published", "there")
    assert row.values["first, σ 25"] == pytest.approx(expected)


def test_what_is_not_there_is_one_line(data, tmp_path):
    with pytest.raises(MissingError, match=r"^there is no folder Elsewhere of pictures$"):
        measuring.measure(small(settings=small().settings[1:]), data)
    with pytest.raises(MissingError, match=r"^folder Set2 has no picture 7$"):
        pictures(data, ("Set2",), ("0", "7"))
    with pytest.raises(ConfigError, match=r"kspace --data=.*no file ista_mask_10.npy"):
        write(data / "brain_test50" / "a.png", picture())
        protocol_command("kspace", str(data), None, None, None)
    with pytest.raises(ConfigError, match="did you mean 'denoise_gray'"):
        protocol_command("denoise_grey", str(data), None, None, None)
    with pytest.raises(ConfigError, match="needs --data=DIR"):
        protocol_command("denoise_gray", None, None, None, None)
    with pytest.raises(ConfigError, match="--task=denoise is a task of --workdir=RUN"):
        protocol_command("denoise_gray", str(data), None, "denoise", None)
    with pytest.raises(ConfigError, match="nyuv2 takes no --data"):
        protocol_command("nyuv2", str(data), None, None, None)
    (tmp_path / "bad.json").write_text("[1]")
    with pytest.raises(ValueError, match="no result of"):
        results.load(tmp_path / "bad.json")


def test_every_published_figure_belongs_to_a_setting():
    for name, protocol in protocols.PROTOCOLS.items():
        known = [setting.name for setting in protocol.settings]
        assert name == protocol.name and len(set(known)) == len(known)
        for row in protocol.published:
            assert row.values and set(row.values) <= set(known) and row.source
        assert len({method.name for method in protocol.methods}) == len(protocol.methods)


def test_bm3d_changes_its_parameters_with_the_noise():
    y = jnp.asarray(denoising.noisy(picture(), NOWHERE, 50).y)
    for sigma, profile in ((25 / 255, "normal"), (50 / 255, "high")):
        ours = jax.jit(methods.bm3d)(y, physics.Identity(), sigma, 0.0)
        np.testing.assert_allclose(ours, solvers.denoise_bm3d(y, sigma, profile).image, atol=1e-5)


@needs_pictures
def test_bicubic_interpolation_of_set5_is_as_published():
    bicubic = dataclasses.replace(
        super_resolution.SUPER_RESOLUTION, methods=super_resolution.SUPER_RESOLUTION.methods[:1]
    )
    found = measuring.measure(bicubic, REAL).rows[-1].values
    for name, published, ours in (("×2", 33.66, 33.661), ("×3", 30.39, 30.392), ("×4", 28.42, 28.421)):
        assert found[f"Set5, {name}"] == pytest.approx(ours, abs=1e-3) == pytest.approx(published, abs=5e-3)


@pytest.mark.slow
@needs_pictures
def test_total_variation_deblurs_the_cameraman_as_another_implementation_does():
    tv = dataclasses.replace(deblurring.DEBLURRING, methods=(methods.TV,))
    found = measuring.measure(tv, REAL).rows[-1].values
    expected = (7.369, 5.272, 8.616, 2.454, 3.280, 3.467)
    np.testing.assert_allclose([found[name] for name in deblurring.NAMES], expected, atol=5e-3)


@pytest.mark.slow
@needs_pictures
def test_bm3d_denoises_set12_as_published():
    setting = denoising.GRAY.settings[1]
    parts = {"settings": (setting,), "methods": (methods.BM3D,)}
    unrounded = dataclasses.replace(denoising.GRAY, measure=measures.clipped_psnr, **parts)
    assert measuring.measure(unrounded, REAL).rows[-1].values[setting.name] == pytest.approx(29.950, abs=2e-3)
