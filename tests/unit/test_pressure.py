"""The fence around what fills memory on purpose; it takes a few MiB itself, and needs no Ray."""

from __future__ import annotations

import time

import psutil
import pytest

from klaw_course import pressure
from klaw_course.pressure import FENCE_MB, MIB, RESERVE_MB, Limit, limit, spare_mb, used_and_total_mb


@pytest.fixture(autouse=True)
def on_linux(monkeypatch):
    monkeypatch.setattr(pressure.sys, "platform", "linux")


def own_mb() -> float:
    return psutil.Process().memory_info().rss / MIB


def write(top, limit_file, limit_bytes, usage_file, usage, stat, stat_file="memory.stat"):
    for name, text in ((limit_file, limit_bytes), (usage_file, usage), (stat_file, stat)):
        (top / name).parent.mkdir(exist_ok=True)
        (top / name).write_text(f"{text}\n")


def test_it_reads_the_machine_where_no_group_has_a_limit(tmp_path):
    used, total = used_and_total_mb(tmp_path)
    assert 0 < used < total == psutil.virtual_memory().total / MIB
    write(tmp_path, "memory.max", "max", "memory.current", 9 * MIB, "inactive_file 0\nactive_file 0")
    assert used_and_total_mb(tmp_path)[1] == total
    write(tmp_path, "memory.max", 2**50, "memory.current", 9 * MIB, "inactive_file 0\nactive_file 0")
    assert used_and_total_mb(tmp_path)[1] == total  # a limit above what the machine has is none


def test_it_reads_the_container_and_counts_no_cached_file(tmp_path):
    cached = f"anon 5\ninactive_file {20 * MIB}\nactive_file {30 * MIB}"
    write(tmp_path, "memory.max", 512 * MIB, "memory.current", 462 * MIB, cached)
    assert used_and_total_mb(tmp_path) == (412, 512)


def test_it_reads_a_container_of_version_1(tmp_path):
    cached = f"inactive_file 1\nactive_file 1\ntotal_inactive_file {20 * MIB}\ntotal_active_file {30 * MIB}"
    limit, usage = "memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"
    write(tmp_path, limit, 512 * MIB, usage, 462 * MIB, cached, "memory/memory.stat")
    assert used_and_total_mb(tmp_path) == (412, 512)


def test_what_is_spare_is_the_least_that_a_group_leaves(monkeypatch):
    monkeypatch.setattr(pressure.container, "memory_limits", lambda: [])
    assert spare_mb() > 0
    monkeypatch.setattr(pressure.container, "memory_limits", lambda: [(2**40 * 9, 2**40), (512 * MIB, 100 * MIB)])
    assert spare_mb() == 100


def test_a_limit_lies_above_what_is_in_use(monkeypatch):
    monkeypatch.setattr(pressure, "used_and_total_mb", lambda: (1000, 4096))
    chosen = limit(100)
    assert chosen.left_mb() == 100 and chosen.fraction == round(1100 / 4096, 5)
    assert Limit(500, 1000).fraction == 0.5


def test_a_limit_is_refused_beyond_the_fence_or_what_the_machine_can_spare(monkeypatch):
    for mb in (0, FENCE_MB + 1):
        with pytest.raises(ValueError, match="outside the fence"):
            limit(mb)
    monkeypatch.setattr(pressure, "used_and_total_mb", lambda: (1000, 4096))
    monkeypatch.setattr(pressure, "spare_mb", lambda: RESERVE_MB + 99)
    with pytest.raises(RuntimeError, match="fills 100 MiB and leaves 300 free, and 399 MiB are free"):
        limit(100)
    monkeypatch.setattr(pressure, "spare_mb", lambda: RESERVE_MB + 100)
    assert limit(100).limit_mb == 1100


def test_a_limit_is_refused_where_ray_has_no_monitor(monkeypatch):
    monkeypatch.setattr(pressure.sys, "platform", "darwin")
    with pytest.raises(RuntimeError, match="on Linux only"):
        limit(100)


def test_what_is_filled_ends_at_its_most_although_the_limit_is_far():
    before = own_mb()
    taken = Limit(10**9, 10**9).fill(leave_mb=0, at_most_mb=64, pause_s=0)
    assert sum(map(len, taken)) == 64 * 2**20
    assert 60 < own_mb() - before < 80  # it is there, not only promised
    with pytest.raises(ValueError, match="beyond the fence"):
        Limit(10**9, 10**9).fill(leave_mb=0, at_most_mb=FENCE_MB + 1)


def test_what_is_filled_ends_where_it_was_told_to_leave_something(monkeypatch):
    used = iter(range(0, 10_000, 16))
    monkeypatch.setattr(pressure, "used_and_total_mb", lambda: (next(used), 10_000))
    taken = Limit(160, 10_000).fill(leave_mb=64, pause_s=0)
    assert len(taken) == 6  # when 96 MiB are in use, 64 are left


def test_who_goes_beyond_the_limit_stays_there_and_takes_what_others_give_back_meanwhile(monkeypatch):
    used = iter([0, 16, 32, 48, 32, *[48] * 1000])
    monkeypatch.setattr(pressure, "used_and_total_mb", lambda: (next(used), 10_000))
    monkeypatch.setattr(pressure, "STAY_S", 0.2)
    began = time.monotonic()
    taken = Limit(32, 10_000).fill(leave_mb=-16, pause_s=0.01)
    assert (len(taken), time.monotonic() - began > 0.2) == (4, True)


def test_what_is_filled_is_given_back_when_the_machine_runs_short(monkeypatch):
    spare = iter([RESERVE_MB + 50, RESERVE_MB + 34, RESERVE_MB - 1])
    monkeypatch.setattr(pressure, "spare_mb", lambda: next(spare))
    before = own_mb()
    with pytest.raises(MemoryError, match=f"Only {RESERVE_MB - 1} MiB are left") as error:
        Limit(10**9, 4096).fill(leave_mb=0, pause_s=0)
    assert error.traceback and own_mb() - before < 10  # although the traceback, which a notebook keeps, has the list
