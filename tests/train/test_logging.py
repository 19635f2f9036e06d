"""Each step's metrics once, whatever was killed; events that others can read; a display for people and for logs."""

import io
import json
import math
import struct

import numpy as np
import pytest
from rich.console import Console

from mtjax.train.display import Display, duration
from mtjax.train.logging import MetricsFile, Writer
from mtjax.train.tensorboard import EventFile, masked_crc32c

TASKS = ("deblur", "digit")


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_values_are_as_short_as_float32_and_json_stays_json(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    values = {
        "a": float(np.float32(0.1)),
        "b": np.float32(1e-8),
        "c": 1 / 3,
        "d": np.int32(3),
        "e": math.nan,
        "f": -math.inf,
    }
    file.write(7, "train", {**values, "g": 1e300})
    file.close()
    text = (tmp_path / "metrics.jsonl").read_text()
    assert text == (
        '{"step": 7, "split": "train", "a": 0.1, "b": 1e-08, "c": 0.3333333333333333, "d": 3, '
        '"e": null, "f": null, "g": 1e+300}\n'
    )
    assert np.float32(json.loads(text)["a"]) == np.float32(0.1)


def write_steps(path, start, stop, resumed=0):
    file = MetricsFile(path, resumed)
    for step in range(start, stop):
        file.write(step, "train", {"loss": 1 / step})
    file.close()


@pytest.mark.parametrize("half_line", ['{"step": 15, "split": "tra', '{"step": 8}', "\x00\x00", "3", ""])
def test_a_killed_run_leaves_each_step_once(tmp_path, half_line):
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    write_steps(whole, 1, 21)
    write_steps(killed, 1, 15)  # killed here; its last checkpoint is that of step 10
    killed.write_text(killed.read_text() + half_line.replace("8", "18"))
    write_steps(killed, 11, 21, resumed=10)
    assert killed.read_bytes() == whole.read_bytes()


def test_every_line_is_on_disk_at_once_and_a_fresh_start_is_empty(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.write(1, "train", {"loss": 1.0})
    assert lines(tmp_path / "metrics.jsonl") == [{"step": 1, "split": "train", "loss": 1.0}]
    file.close()
    MetricsFile(tmp_path / "metrics.jsonl").close()
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_crc32c_of_a_published_vector():
    # RFC 3720, B.4: 32 bytes of zeros have the CRC-32C 0x8a9136aa; TFRecord rotates it right by 15 and adds a constant.
    crc = 0x8A9136AA
    assert masked_crc32c(bytes(32)) == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def varint(data, at):
    value, shift = 0, 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """A protocol buffer message as pairs: field number, and a number or the bytes of a string or a message."""
    at, found = 0, []
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        elif tag & 7 == 2:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            code, size = ("<d", 8) if tag & 7 == 1 else ("<f", 4)
            value, at = struct.unpack(code, data[at : at + size])[0], at + size
        found.append((tag >> 3, value))
    return found


def decode(path):
    """The events of a file as dictionaries by field number; checks the framing."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        length, check = struct.unpack("<QI", data[at : at + 12])
        assert check == masked_crc32c(data[at : at + 8])
        event = data[at + 12 : at + 12 + length]
        assert struct.unpack("<I", data[at + 12 + length : at + 16 + length]) == (masked_crc32c(event),)
        yield dict(fields(event))
        at += 16 + length


def test_events_decode_to_what_was_written(tmp_path):
    events = EventFile(tmp_path, start=300)
    events.scalars(301, {"train/loss": 0.25, "train/é": -1.5})
    events.scalars(70_000, {"x" * 300: math.nan})
    events.close()
    (path,) = tmp_path.iterdir()
    version, session, first, second = decode(path)
    assert version[3] == b"brain.Event:2"
    assert (session[2], fields(session[7])) == (301, [(1, 1)])
    values = [dict(fields(value)) for _, value in fields(first[5])]
    assert (first[2], values) == (301, [{1: b"train/loss", 2: 0.25}, {1: "train/é".encode(), 2: -1.5}])
    value = dict(fields(dict(fields(second[5]))[1]))
    assert second[2] == 70_000 and value[1] == b"x" * 300 and math.isnan(value[2])
    assert version[1] <= session[1] <= first[1] <= second[1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_reads_the_events_and_forgets_what_a_resumed_run_makes_again(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for start, stop, value in ((0, 8, 1.0), (5, 10, 2.0)):
        events = EventFile(tmp_path, start)
        for step in range(start + 1, stop + 1):
            events.scalars(step, {"train/loss": value})
        events.close()
    accumulator = reader.EventAccumulator(str(tmp_path)).Reload()
    read = [(event.step, event.value) for event in accumulator.Scalars("train/loss")]
    assert read == [(step, 1.0 if step <= 5 else 2.0) for step in range(1, 11)]


class Clock:
    """A clock that somebody else turns."""

    now = 100.0

    def __call__(self):
        return self.now


def a_display(terminal, clock, start=0, steps=100):
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120, color_system=None)
    return Display(TASKS, steps, 32, start, console, clock), text


def test_in_a_log_lines_are_few_and_tell_the_speed():
    clock = Clock()
    display, text = a_display(False, clock)
    for step in range(1, 101):
        clock.now += 0.125  # a power of two, so that sums are exact
        losses = {"deblur": 0.5 / step, "digit": 2.3}
        display.step(step, losses)
        if step % 10 == 0:
            display.training(step, 1.0, losses)
    display.evaluation(100, "validation", {"deblur/loss": 0.25, "deblur/psnr": 31.4159, "digit/accuracy": 1.0})
    display.close()
    assert text.getvalue().splitlines() == [
        "step 10/100 | loss 1 | deblur 0.05  digit 2.3 | 256 examples/s, 11 s left",
        "step 50/100 | loss 1 | deblur 0.01  digit 2.3 | 256 examples/s, 6 s left",
        "step 90/100 | loss 1 | deblur 0.005556  digit 2.3 | 256 examples/s, 1 s left",
        "step 100/100 | loss 1 | deblur 0.005  digit 2.3 | 256 examples/s, 0 s left",
        "validation at step 100 | deblur | loss 0.25  psnr 31.42",
        "validation at step 100 | digit | accuracy 1",
    ]


def test_the_speed_leaves_out_compilation_and_evaluation():
    clock = Clock()
    display, text = a_display(False, clock, start=50)
    clock.now += 60  # the first step compiles
    for step in (51, 52, 53):
        display.step(step, {})
        clock.now += 1
    display.evaluation(53, "validation", {})
    clock.now += 100
    for step in (54, 55, 56):
        display.step(step, {})
        clock.now += 2
    display.training(56, 1.0, {})
    assert "16 examples/s, 1 min 28 s left" in text.getvalue()


def test_in_a_terminal_there_is_a_bar_and_a_table():
    clock = Clock()
    display, text = a_display(True, clock)
    for step in (1, 2, 3):
        clock.now += 0.5
        display.step(step, {"deblur": 0.125, "digit": 2.5})
    display.evaluation(3, "validation", {"deblur/psnr": 30.0, "digit/accuracy": 0.75})
    display.training(3, 1.0, {})
    display.close()
    shown = text.getvalue()
    for expected in ("3/100", "64 examples/s, 48 s left", "0.125", "psnr 30", "accuracy 0.75", "validation at step 3"):
        assert expected in shown
    assert "loss 1 |" not in shown


def test_lengths_of_time():
    seconds = {0.4: "0 s", 59.6: "1 min 00 s", 200.0: "3 min 20 s", 3599.7: "1 h 00 min", 3900.0: "1 h 05 min"}
    assert {length: duration(length) for length in seconds} == seconds


def test_the_writer_writes_everywhere(tmp_path):
    display, text = a_display(False, Clock())
    with Writer(tmp_path, TASKS, steps=100, batch_size=32, display=display) as writer:
        values = {"loss": np.float32(0.75), "deblur/loss": 0.25, "digit/loss": 0.5, "skipped": 0}
        writer.training(20, values)
        writer.progress(20, values)
        writer.evaluation(20, "validation", {"deblur/psnr": 30.0})
    assert lines(tmp_path / "metrics.jsonl") == [
        {"step": 20, "split": "train", "loss": 0.75, "deblur/loss": 0.25, "digit/loss": 0.5, "skipped": 0},
        {"step": 20, "split": "validation", "deblur/psnr": 30.0},
    ]
    assert text.getvalue().startswith("step 20/100 | loss 0.75 | deblur 0.25  digit 0.5\nvalidation at step 20")
    (events,) = (tmp_path / "tensorboard").iterdir()
    tags = [dict(fields(value))[1] for event in decode(events) if 5 in event for _, value in fields(event[5])]
    assert tags == [
        b"train/loss",
        b"train/deblur/loss",
        b"train/digit/loss",
        b"train/skipped",
        b"validation/deblur/psnr",
    ]


def test_the_writer_without_a_display_of_its_own_uses_standard_output(tmp_path, capsys):
    with Writer(tmp_path, TASKS, steps=100, batch_size=32) as writer:
        writer.training(1, {"loss": 0.1, **{f"{task}/loss": 1 / 3 for task in TASKS}, "a quite long name": 1.0})
    (line,) = capsys.readouterr().out.splitlines()
    assert line == "step 1/100 | loss 0.1 | deblur 0.3333  digit 0.3333"
