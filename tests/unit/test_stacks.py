"""Stacks of a sampling profiler: read, filtered, counted, and drawn as a flame graph; without Ray."""

from __future__ import annotations

import io
import linecache
import threading
import time
from base64 import b64decode
from xml.etree import ElementTree

import pytest
from matplotlib.colors import to_hex

from klaw_course.observe import sampler
from klaw_course.observe.stacks import Frame, own, parse, table, total, working, yours
from klaw_course.show import BLUE, VERMILLION, life
from klaw_course.show.flame import flame, layout

CELL = "/tmp/ipykernel_12/34.py"
RAW = f"""\
<module> (/venv/lib/python3.11/site-packages/ray/_private/workers/default_worker.py:3);Game.play ({CELL}:8);\
step ({CELL}:5);live_neighbors ({CELL}:4) 60
<module> (/venv/lib/python3.11/site-packages/ray/_private/workers/default_worker.py:3);Game.play ({CELL}:8);\
step ({CELL}:5);step.<locals>.<listcomp> ({CELL}:6) 25
<module> (/venv/lib/python3.11/site-packages/ray/_private/workers/default_worker.py:3);Game.play ({CELL}:8);\
step ({CELL}:5);roll (/venv/lib/python3.11/site-packages/numpy/_core/numeric.py:9) 5
thread (0x7F01): "MainThread";wait (/usr/lib/python3.11/threading.py:2) 10
"""
PLAY, STEP, HOT = Frame("Game.play", CELL, 8), Frame("step", CELL, 5), Frame("live_neighbors", CELL, 4)


def test_collapsed_stacks_are_read_and_what_is_no_frame_is_left_out():
    stacks = parse(RAW + "py-spy> a remark\n\n")
    assert sum(stacks.values()) == 100 and len(stacks) == 4
    assert next(iter(stacks))[-1] == HOT
    assert [frame.function for frame in list(stacks)[3]] == ["wait"]
    assert parse("main (odd name (x).py:3) 2\nf (built-in) 1") == {
        (Frame("main", "odd name (x).py", 3),): 2,
        (Frame("f", "built-in", 0),): 1,
    }
    assert parse("") == {}


def test_only_your_frames_are_kept_and_a_comprehension_counts_as_its_line():
    assert yours(parse(RAW)) == {(PLAY, STEP, HOT): 60, (PLAY, STEP): 30, (): 10}
    assert own(parse(RAW)) == {HOT: 60, STEP: 30}


def test_who_waits_does_not_work():
    ray = "/venv/lib/python3.11/site-packages/ray/_private/worker.py"
    waits = [
        Frame("wait", ray, 3),
        Frame("Worker.get_objects", ray, 9),
        Frame("Queue.get", "/usr/lib/python3.11/queue.py", 5),
    ]
    works = [
        HOT,
        Frame("wait", CELL, 2),
        Frame("put", ray, 4),
        Frame("work", "/home/me/work_queue.py", 6),
        Frame("wait", "/my/ray_private/worker.py", 1),
    ]
    stacks = {(PLAY, frame): 2 for frame in [*waits, *works]} | {(): 7, (waits[0], HOT): 1}
    assert working(stacks) == {(PLAY, frame): 2 for frame in works} | {(): 7, (waits[0], HOT): 1}


@pytest.mark.parametrize("function, samples", [("live_neighbors", 60), ("play", 90), ("Game.play", 90), ("other", 0)])
def test_a_function_counts_once_for_a_sample_under_either_of_its_names(function, samples):
    stacks = parse(RAW)
    assert total(stacks, function) == samples
    assert total({(PLAY, PLAY): 3}, "play") == 3


def test_the_table_has_the_busiest_lines_with_their_source(tmp_path):
    source = tmp_path / "game.py"
    source.write_text("def f():\n    return 41 + 1\n")
    frame = Frame("f", str(source), 2)
    text = table({(frame,): 3, (HOT,): 1})
    assert [line.split() for line in text.splitlines()[2:]] == [
        ["75", "%", "f", "2", "return", "41", "+", "1"],
        ["25", "%", "live_neighbors", "4", "-"],
    ]
    source.write_text("x\n" + "long_name + " * 20)
    linecache.checkcache()
    assert max(map(len, table({(frame,): 1}).splitlines())) < 75, "a page holds it"
    assert len(table({(frame,): 3, (HOT,): 1}, most=1).splitlines()) == 3


def test_the_flame_graph_has_a_bar_for_each_call_below_its_caller():
    assert layout(parse(RAW)) == [(0, 0.0, 100.0, PLAY), (1, 0.0, 100.0, STEP), (2, 0.0, 100 * 60 / 90, HOT)]
    picture = flame(parse(RAW), "a game")
    bars = [(to_hex(bar.get_facecolor()).upper(), bar.get_width()) for bar in picture.figure.axes[0].patches]
    assert bars == [(BLUE, 100), (BLUE, 100), (VERMILLION, pytest.approx(66.7, abs=0.1))], (
        "the hottest line has another colour"
    )
    assert [bar.get_hatch() for bar in picture.figure.axes[0].patches] == [None, None, "//"]
    labels = [text.get_text() for text in picture.figure.axes[0].texts]
    assert labels == ["Game.play\nline 8 · 100 %", "step\nline 5 · 100 %", "live_neighbors\nline 4 · 67 %"]
    assert picture.alt.startswith("a game. ") and "67 %" in picture.alt


def test_siblings_stand_side_by_side_and_a_narrow_bar_has_no_label():
    narrow = Frame("rare", CELL, 1)
    placed = layout({(PLAY, HOT): 60, (PLAY, narrow): 5, (PLAY,): 35})
    assert placed == [(0, 0.0, 100.0, PLAY), (1, 0.0, 60.0, HOT), (1, 60.0, 5.0, narrow)]
    labels = [text.get_text() for text in flame({(PLAY, HOT): 95, (PLAY, narrow): 5}).figure.axes[0].texts]
    assert not any("rare" in label for label in labels)


def test_nothing_of_yours_is_nothing_to_draw():
    with pytest.raises(ValueError, match="in no sample"):
        flame({(): 10})


def spin_for_the_sampler(until: threading.Event):
    while not until.is_set():
        sum(range(100))


def test_the_sampler_inside_a_process_sees_what_computes():
    over = threading.Event()
    thread = threading.Thread(target=spin_for_the_sampler, args=(over,))
    thread.start()
    try:
        sampler.start(200)
        until = time.process_time() + 0.4
        while time.process_time() < until:  # however busy the machine is
            time.sleep(0.05)
        stacks = sampler.stop()
    finally:
        over.set()
        thread.join()
    assert total(stacks, "spin_for_the_sampler") >= 20
    assert sampler.stop() == {}, "it was stopped, and its stacks were given out"
    files = {frame.file for frames in stacks for frame in frames}
    assert sampler.__file__ not in files, "of the sampler itself there is nothing"


def test_the_sampler_sees_nothing_while_the_process_waits():
    sampler.start(200)
    time.sleep(0.4)
    assert sum(sampler.stop().values()) <= 8
    assert sampler.stop() == {}, "it was stopped"


def test_an_animation_has_a_frame_for_each_generation_and_its_words():
    from PIL import Image

    one, other = life.gliders(16), [[0] * 16 for _ in range(16)]
    other[3][5] = 1
    shown = life.animate([one, other], "gliders", seconds=0.2)
    tag = ElementTree.fromstring(shown._repr_html_().replace("\n", "&#10;").removesuffix(">") + "/>")
    kind, _, data = tag.get("src").partition(",")
    assert kind == "data:image/gif;base64" and tag.get("alt") == shown.alt and shown.alt.startswith("gliders, moving.")
    image = Image.open(io.BytesIO(b64decode(data)))
    assert image.n_frames == 2 and image.info["duration"] == 200 and image.info["loop"] == 0
    with pytest.raises(ValueError, match="0 generations"):
        life.animate([])


def test_the_table_of_life_counts_the_living_and_finds_the_topmost():
    grids = [life.gliders(16), [[0] * 16 for _ in range(16)]]
    body = [line.split() for line in life.life_table(grids, every=1).splitlines()[2:]]
    assert body == [["0", "10", "0", "1"], ["1", "0", "-", "-"]]
    assert len(life.life_table(grids).splitlines()) == 3, "every fourth"


@pytest.mark.parametrize("size", [8, 9, 10, 24, 30])
def test_gliders_stay_inside_the_grid(size):
    assert sum(map(sum, life.gliders(size))) == 5 * len(range(0, size - 2, 8))
