"""The fence around what fills memory on purpose; it takes a few MiB itself, and needs no Ray."""

from __future__ import annotations

import psutil
import pytest

from klaw_course import pressure
from klaw_course.pressure import FENCE_MB, RESERVE_MB, Limit, limit, used_and_total_mb


def own_mb() -> float:
    return psutil.Process().memory_info().rss / 2**20


def test_it_reads_the_machine_or_the_container(monkeypatch):
    used, total = used_and_total_mb()
    assert 0 < used < total <= psutil.virtual_memory().total / 2**20
    monkeypatch.setattr(pressure.container, "memory_limits", lambda: [(2**40 * 9, 2**40), (512 * 2**20, 100 * 2**20)])
    assert used_and_total_mb() == (412, 512)  # a limit above what the machine has is none


def test_a_limit_lies_above_what_is_in_use():
    chosen = limit(100)
    assert 0 < chosen.left_mb() < 200 and 0 < chosen.fraction < 1
    assert Limit(500, 1000).fraction == 0.5


def test_a_limit_is_refused_beyond_the_fence_or_what_the_machine_can_spare(monkeypatch):
    for mb in (0, FENCE_MB + 1):
        with pytest.raises(ValueError, match="outside the fence"):
            limit(mb)
    monkeypatch.setattr(pressure, "used_and_total_mb", lambda: (4096 - RESERVE_MB - 99, 4096))
    with pytest.raises(RuntimeError, match="fills 100 MiB and leaves 300 free, and 399 MiB are free"):
        limit(100)
    monkeypatch.setattr(pressure, "used_and_total_mb", lambda: (4096 - RESERVE_MB - 100, 4096))
    assert limit(100).limit_mb == 4096 - RESERVE_MB


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
    assert 2 <= len(taken) <= 4  # two looks a step: at 96 MiB it stops


def test_what_is_filled_is_given_back_when_the_machine_runs_short(monkeypatch):
    left = iter([RESERVE_MB + 50, RESERVE_MB + 50, RESERVE_MB + 34, RESERVE_MB + 34, RESERVE_MB - 1, RESERVE_MB - 1])
    monkeypatch.setattr(pressure, "used_and_total_mb", lambda: (4096 - next(left), 4096))
    before = own_mb()
    with pytest.raises(MemoryError, match=f"Only {RESERVE_MB - 1} MiB are left"):
        Limit(10**9, 4096).fill(leave_mb=0, pause_s=0)
    assert own_mb() - before < 10
