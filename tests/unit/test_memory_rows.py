"""Watching the memory of processes of this machine: a child that grows on command. Actors are in tests/ray."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from itertools import count

import psutil
import pytest

from klaw_course.observe import memory
from klaw_course.show import Text

ON_LINUX = pytest.mark.skipif(not psutil.LINUX, reason="elsewhere the system does not tell shared pages")
CHILD = """
import mmap, sys
kept = []
print("ready", flush=True)
for line in sys.stdin:
    what, mb = line.split()
    if what == "grow":
        kept.append(bytearray(b"x") * (int(mb) << 20))
    elif what == "share":  # as an object store does: pages of a file in memory, here touched by this process alone
        kept.append(mmap.mmap(-1, int(mb) << 20))
        kept[-1][:] = b"x" * len(kept[-1])
    else:
        kept.clear()
    print("done", flush=True)
"""


class Child:
    """A Python process that takes memory on command; every command has been obeyed when it returns."""

    def __init__(self):
        pipe = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = subprocess.Popen([sys.executable, "-c", CHILD], **pipe)
        self.pid = self.process.pid
        self.process.stdout.readline()

    def __call__(self, command: str) -> None:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def child():
    grower = Child()
    yield grower
    grower.end()


def sampled(seen, times=2):
    """Wait for that many samples more."""
    until = len(seen.rows) + times * len(seen._processes)
    deadline = time.monotonic() + 10
    while len(seen.rows) < until:
        assert time.monotonic() < deadline, "no samples are taken"
        time.sleep(0.01)


def test_the_growth_of_another_process_is_seen_and_its_end_too(child):
    with memory.watch({"child": child.pid, "this": os.getpid()}, every_s=0.02) as seen:
        child("grow 60")
        sampled(seen)
        child("free 0")
    assert seen.peak_mb("child") - seen.own_mb("child")[0] == pytest.approx(60, rel=0.1)
    assert abs(seen.growth_mb("child")) < 6 and abs(seen.growth_mb("this")) < 30
    with memory.watch({"child": child.pid}) as seen:
        child("grow 40")
    assert seen.growth_mb("child") == pytest.approx(40, rel=0.1)
    assert memory.own_mb(child.pid) == pytest.approx(seen.own_mb("child")[-1], rel=0.1)


@ON_LINUX
def test_shared_memory_is_in_the_rss_and_not_a_process_own_even_if_no_other_touches_it(child):
    with memory.watch({"child": child.pid}) as seen:
        child("share 60")
    assert abs(seen.growth_mb("child")) < 6
    assert seen.rows[-1].rss_mb - seen.rows[0].rss_mb == pytest.approx(60, rel=0.1)
    assert psutil.Process(child.pid).memory_full_info().uss / 2**20 > 60  # why the USS will not do


def test_rows_are_in_order_and_an_empty_block_has_two_for_each_name():
    with memory.watch({"a": os.getpid(), "b": os.getpid()}, every_s=60) as seen:
        pass
    assert [row.name for row in seen.rows] == ["a", "b", "a", "b"]
    assert seen.rows[0].second == seen.rows[1].second < 5 and seen.rows[1].second < seen.rows[2].second < 30
    assert all(row.rss_mb >= row.own_mb > 5 for row in seen.rows)
    began = time.monotonic()
    with memory.watch({"a": os.getpid()}, every_s=0.05) as seen:
        time.sleep(0.6)
    assert 4 <= len(seen.rows) <= 2 + (time.monotonic() - began) / 0.05


def test_lists_and_functions_of_pids_are_summed_and_asked_again(child):
    numbers = count()

    def pids():
        return [os.getpid(), child.pid] if next(numbers) else os.getpid()

    with memory.watch({"function": pids, "list": [os.getpid(), child.pid]}, every_s=60) as seen:
        pass
    assert seen.growth_mb("function") == pytest.approx(memory.own_mb(child.pid), rel=0.2, abs=3)
    assert seen.own_mb("list")[-1] == pytest.approx(seen.own_mb("function")[-1], rel=0.1)


def test_a_process_that_ends_counts_as_nothing_from_then_on(child):
    with memory.watch({"child": child.pid, "both": [child.pid, os.getpid()]}, every_s=0.02) as seen:
        child.process.kill()  # and nobody waits for it yet: it is a zombie
        sampled(seen, 3)
        assert seen.own_mb("child")[-1] == 0
        child.end()
        sampled(seen, 3)
    assert seen.own_mb("child")[0] > 1 and seen.own_mb("child")[-1] == 0 and seen.growth_mb("child") < -1
    assert seen.own_mb("both")[-1] > 5


def test_the_table_and_the_picture_tell_the_same(child):
    with memory.watch({"child": child.pid, "this": os.getpid()}) as seen:
        child("grow 50")
        seen.mark("grown")
    header, rule, first, second = seen.table().splitlines()
    assert isinstance(seen.table(), Text) and "  ".join(header.split()[-4:]) == "last  growth  peak  RSS"
    assert first.split()[0] == "child" and int(first.split()[4]) == round(seen.growth_mb("child")) >= 45
    assert second.split()[0] == "this" and int(second.split()[5]) == round(max(r.rss_mb for r in seen.rows))
    picture = seen.plot("A title")
    axes = picture.figure.axes[0]
    lines = [line for line in axes.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in lines] == ["child", "this"]
    assert list(lines[0].get_ydata()) == seen.own_mb("child") and lines[0].get_xdata()[0] == seen.rows[0].second
    for look in ("get_color", "get_linestyle", "get_marker"):
        assert getattr(lines[0], look)() != getattr(lines[1], look)()
    assert [text.get_text().strip() for text in axes.texts] == ["grown"]
    assert axes.lines[-1].get_xdata()[0] == seen.marks[0][0] and axes.lines[-1].get_linestyle() == "--"
    assert "A title" in picture.alt and str(seen.table()) in picture.alt and "s: grown" in picture.alt


def test_before_its_block_a_watch_has_nothing():
    seen = memory.watch({"a": os.getpid()})
    with pytest.raises(ValueError, match="nothing to draw"):
        seen.plot()
    with pytest.raises(KeyError, match="no samples of 'a'"):
        seen.growth_mb("a")
    assert len(seen.table().splitlines()) == 2


def test_inside_the_block_the_growth_so_far_is_known(child):
    with memory.watch({"child": child.pid}, every_s=0.02) as seen:
        times = 0
        while seen.growth_mb("child") < 50 and times < 20:
            child("grow 10")
            sampled(seen)
            times += 1
    assert 5 <= times <= 7


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_or_an_interrupt_passes_and_the_thread_is_gone(error):
    before = threading.active_count()
    with pytest.raises(error), memory.watch({"a": os.getpid()}, 0.01) as seen:
        assert threading.active_count() == before + 1
        raise error
    samples = len(seen.rows)
    time.sleep(0.05)
    assert len(seen.rows) == samples >= 2 and threading.active_count() == before


def test_an_error_of_the_thread_is_not_lost_and_does_not_hide_that_of_the_block():
    answers = iter([os.getpid()])
    with pytest.raises(TypeError, match="'gone' is no process"), memory.watch({"a": lambda: next(answers, "gone")}):
        pass
    answers = iter([os.getpid()])
    with pytest.raises(ZeroDivisionError), memory.watch({"a": lambda: next(answers, "gone")}):
        raise ZeroDivisionError


def test_bad_input_is_named(child):
    child.end()
    with pytest.raises(ValueError, match="0 processes"):
        memory.watch({})
    for every_s in (0, -1):
        with pytest.raises(ValueError, match=f"every_s is {every_s}"):
            memory.watch({"a": os.getpid()}, every_s=every_s)
    for process in (child.pid, [os.getpid(), child.pid], lambda: child.pid):
        with pytest.raises(ValueError, match=f"pid {child.pid};"), memory.watch({"a": process}):
            pass
        with pytest.raises(ValueError, match=f"pid {child.pid};"):
            memory.own_mb(process)
    with pytest.raises(TypeError, match="'a' is no process"):
        memory.own_mb("a")
    with memory.watch({"a": os.getpid(), "b": os.getpid()}) as seen:
        pass
    for ask in (seen.growth_mb, seen.peak_mb, seen.own_mb):
        with pytest.raises(KeyError, match="'c'.* a, b"):
            ask("c")


def test_slope():
    assert memory.slope([0, 1, 2, 3], [5, 7, 9, 11]) == pytest.approx(2)
    assert memory.slope([0, 1, 2], [0, 3, 0]) == pytest.approx(0)
    for xs, ys in ([], []), ([1, 1], [2, 3]), ([1, 2], [3]):
        with pytest.raises(ValueError, match=f"{len(xs)} xs and {len(ys)} ys"):
            memory.slope(xs, ys)


@ON_LINUX
def test_freed_memory_that_the_allocator_keeps_goes_back_to_the_system():
    kept = [bytearray(1000) for _ in range(60_000)]
    wall = bytearray(1000)  # above them on the heap, which therefore cannot shrink from its end
    with_them = memory.own_mb(os.getpid())
    del kept
    without = memory.own_mb(os.getpid())
    assert memory.trim()
    assert with_them - without < 20 and without - memory.own_mb(os.getpid()) > 35
    assert len(wall) == 1000


def test_room_is_what_is_left_of_the_machine(monkeypatch):
    total = psutil.virtual_memory().total / 2**20
    assert 0 < memory.room_mb(0) < total
    now = psutil.virtual_memory()  # a neighbour's part of it changes
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: now)
    assert memory.room_mb(0) - memory.room_mb(100) == pytest.approx(100, abs=90)
    assert memory.room_mb(total) == 0


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({"memory.max": "1000", "memory.current": "700", "memory.stat": "anon 5\ninactive_file 200\n"}, [500]),
        ({"memory.max": "max", "memory.current": "700", "memory.stat": "inactive_file 200\n"}, []),
        ({"memory/memory.limit_in_bytes": "900", "memory/memory.usage_in_bytes": "800",
          "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 30\n"}, [130]),
        ({}, []),
    ],
    ids=["v2", "v2-no-limit", "v1", "none"],
)  # fmt: skip
def test_the_limit_of_a_container_counts(files, left, tmp_path):
    (tmp_path / "memory").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert list(memory._left_in_containers(tmp_path)) == left
