"""Films and bursts: which frames make an example, in what order, and which split owns them."""

import numpy as np
import pytest
from shared_data import SHARED, needs, refusal, save

from mtjax import data
from mtjax.data import pipeline

SPLITS = ("train", "validation", "test")


def frame(clip, time):
    """A gray picture whose corner holds the clip and the time, and whose columns are numbered."""
    pixels = np.tile(np.arange(20, dtype=np.uint8), (16, 1))
    pixels[0, :2] = pixels[8, 10:12] = clip, time
    return pixels


def write(root, clip, count, name="film"):
    for time in range(count):
        save(root / f"{name}{clip}" / f"frame{time}.png", frame(clip, time))


def node(path, **params):
    return {"source": "clips", "path": str(path), "size": (16, 20), "frames": 3, "channels": 1, **params}


def shown(path, split, **params):
    """(clip, time) of each frame of each example."""
    source = data.build(node(path, **params), split)
    return [[(int(f[0, 0, 0]), int(f[0, 1, 0])) for f in source[i]["clip"]] for i in range(len(source))]


def test_the_image_comes_first_and_the_oldest_frame_last(tmp_path):
    write(tmp_path, 7, 12)
    examples = shown(tmp_path, "train")
    assert examples == [[(7, t), (7, t - 1), (7, t - 2)] for t in range(2, 6)]  # frame10 comes after frame9
    source = data.build(node(tmp_path), "train")
    np.testing.assert_array_equal(source[0]["image"], source[0]["clip"][0])
    assert source[0]["image"].dtype == np.uint8 and source.info.fields["clip"] == (3, 16, 20, 1)


def test_a_few_clips_are_split_in_time(tmp_path):
    write(tmp_path, 0, 30)
    write(tmp_path, 1, 9)
    seen = [{f for example in shown(tmp_path, split) for f in example} for split in SPLITS]
    assert set.union(*seen) == {(0, t) for t in range(30)} | {(1, t) for t in range(9)}
    assert sum(map(len, seen)) == 39
    assert seen[2] == {(0, t) for t in (27, 28, 29)} | {(1, t) for t in (6, 7, 8)}


def test_many_clips_are_split_by_clip(tmp_path):
    for clip in range(5):
        write(tmp_path, clip, 4)
    seen = [{f[0] for example in shown(tmp_path, split) for f in example} for split in SPLITS]
    assert [len(part) for part in seen] == [3, 1, 1] and set.union(*seen) == set(range(5))
    assert len(shown(tmp_path, "test")) == 2


def test_archives_of_bursts(tmp_path):
    frames = np.stack([frame(3, t) for t in range(10)])
    np.savez(tmp_path / "a.npz", frames=frames)
    assert shown(tmp_path, "train") == [[(3, t), (3, t - 1), (3, t - 2)] for t in (2, 3)]
    np.savez(tmp_path / "a.npz", frames=np.repeat(frames[..., None], 3, -1))
    color = data.build(node(tmp_path, channels=3), "test")[0]
    assert color["clip"].shape == (3, 16, 20, 3) and color["clip"][0, 0, 1].tolist() == [9, 9, 9]


def test_all_frames_of_an_example_are_cut_alike(tmp_path):
    write(tmp_path, 0, 12)
    source = data.build(node(tmp_path, size=(8, 8)), "train")
    lefts = set()
    for step in range(20):
        clips = pipeline.batch_at(source, 2, 0, step)["clip"][..., 0]
        assert (clips[:, :, 1, 2] == clips[:, :1, 1, 2]).all()
        lefts.add(int(clips[0, 0, 1, 0]))
    assert len(lefts) > 5 and max(lefts) == 12
    assert source[0]["clip"][0, 1, 0, 0] == 6


def test_folders_that_differ(tmp_path):
    tree = "expected there: CLIP/FRAME.png (or .jpg, .tif), or CLIP.npz with an array frames"
    assert f"is missing; {tree}" in refusal(node(tmp_path / "no"))
    assert f"has no clip; {tree}" in refusal(node(tmp_path))
    write(tmp_path, 0, 8)
    assert "has a clip film0 of 8 frames; frames=3 needs 9 or more" in refusal(node(tmp_path))
    write(tmp_path, 0, 9)
    assert "has a clip film0 of 20×16 pixels, too small for size=(32, 32)" in refusal(node(tmp_path, size=32))
    save(tmp_path / "film0/frame4.png", frame(0, 4)[:, :-1])
    assert "has a clip film0 whose frame 4 is 19×16 pixels, the first 20×16" in refusal(node(tmp_path))
    (tmp_path / "film0/frame4.png").write_text("")
    assert f"data.path: {tmp_path / 'film0/frame4.png'}: cannot identify image file" in refusal(node(tmp_path))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((9, 16, 20), np.uint8)}, "has no array frames; it has pictures"),
        ({"frames": np.zeros((9, 16, 20))}, "frames is float64 [9, 16, 20], expected uint8 [T, H, W]"),
        ({"frames": np.zeros((9, 16, 20, 2), np.uint8)}, "frames is uint8 [9, 16, 20, 2], expected"),
    ],
)
def test_archives_that_cannot_be_used(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    said = refusal(node(tmp_path))
    assert said.startswith(f"data.path: {tmp_path / 'a.npz'}: ") and message in said


def test_bad_values(tmp_path):
    assert "frames=0, size=(16, 20), channels=1: expected" in refusal(node(tmp_path, frames=0))


@needs("video_train/ntia_Aspen/hr")
@needs("mdsp_burst")
def test_the_real_film_and_bursts():
    film = data.build(node(SHARED / "video_train/ntia_Aspen/hr", size=64, channels=3), "test")
    assert film[0]["clip"].shape == (3, 64, 64, 3)
    assert len({frame.tobytes() for frame in film[0]["clip"]}) == 3
    bursts = data.build(node(SHARED / "mdsp_burst", size=48), "train")
    assert bursts[0]["clip"].shape == (3, 48, 48, 1)
