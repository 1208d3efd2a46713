"""The recording of real tasks on a real cluster; what needs no Ray is in tests/unit/test_timeline_rows.py."""

from __future__ import annotations

import os
import time

import pytest
import ray

from klaw_course import cluster
from klaw_course.observe import timeline

DONE, FAILED = timeline.STATES[4:]


@ray.remote
def nap(seconds):
    time.sleep(seconds)


@ray.remote
def raises():
    raise ZeroDivisionError


@ray.remote(max_retries=1)
def crash_once(marker):
    if not os.path.exists(marker):
        open(marker, "w").close()
        os._exit(1)


@ray.remote
class Bell:
    def ring(self):
        time.sleep(0.05)


def test_a_recording_has_a_row_for_every_attempt_and_only_for_its_own_tasks(one_node, tmp_path):
    ray.get(nap.remote(0))
    with timeline.record() as run:
        ray.get(crash_once.remote(str(tmp_path / "marker")))  # first: what a worker has not reported dies with it
        ray.get([nap.remote(0.1) for _ in range(5)])
        bell = Bell.remote()
        ray.get([bell.ring.remote() for _ in range(3)])
        with run.local("here"):
            time.sleep(0.05)
    assert run.count_by("name") == {"here": 1, "nap": 5, "crash_once": 2, "Bell.__init__": 1, "Bell.ring": 3}
    assert run.count_by("kind") == {"local": 1, "task": 7, "actor creation": 1, "actor task": 3}
    assert run.count_by("state") == {DONE: 11, FAILED: 1}
    assert {row.node for row in run.rows} == {"this notebook", "head"}
    assert timeline.at_once([row for row in run.rows if row.name == "nap"]) <= 2
    naps = [row for row in run.rows if row.name == "nap"]
    assert all(set(row.spans) == {"deserialize", "execute", "store"} for row in naps)
    assert all(list(row.times) == list(timeline.STATES[:5]) for row in naps)
    assert run.seconds > 0.3


def test_tasks_that_are_not_done_are_rows_without_an_end(one_node):
    with timeline.record() as run:
        refs = [nap.remote(60) for _ in range(3)]
    assert len(run.rows) == 3 and all(row.ended is None for row in run.rows)
    for ref in refs:
        ray.cancel(ref, force=True)
    run.gantt()


def test_leaving_takes_as_long_as_the_reports_and_every_row_is_complete(one_node):
    took = []
    while len(took) < 30 and not (took and min(took) < 0.45):  # on a busy machine any of them may be late
        with timeline.record() as run:
            ray.get([nap.remote(0.02) for _ in range(6)])
            left = time.monotonic()
        took.append(time.monotonic() - left)
        assert all(set(row.spans) == {"deserialize", "execute", "store"} and row.state == DONE for row in run.rows)
        assert len(run.rows) == 6
    assert 0.2 <= min(took) < 0.45, took


def test_no_row_is_lost_however_many_tasks_were_before_and_too_many_are_an_error(one_node):
    with pytest.raises(RuntimeError, match="more tasks than the 10,000 .*several blocks"), timeline.record():
        for _ in range(3):
            ray.get([nap.remote(0) for _ in range(3_600)])
    with timeline.record() as run:
        ray.get([nap.remote(0) for _ in range(100)])
        _, late = ray.wait([raises.remote(), nap.remote(60)], num_returns=1)
    ray.cancel(late[0], force=True)
    assert run.count_by("name") == {"nap": 101, "raises": 1}
    assert run.count_by("state") == {DONE: 100, FAILED: 1, "RUNNING": 1}


def test_a_task_that_ends_while_the_reports_are_awaited_is_waited_for(one_node):
    ray.get(nap.remote(0))
    with timeline.record() as run:
        ref = nap.remote(0.3)
    assert [row.state for row in run.rows] == [DONE] and "execute" in run.rows[0].spans
    ray.get(ref)


def test_without_a_cluster_one_clear_error(no_cluster):
    with pytest.raises(RuntimeError, match=r"No cluster is running.*cluster\.start\(\)"), timeline.record():
        pass


def test_the_state_api_of_this_cluster_is_asked_whatever_ray_address_says(one_node, monkeypatch):
    with timeline.record() as run:
        ray.get(nap.remote(0))
    assert len(run.rows) == 1 and cluster.current().address == os.environ["RAY_ADDRESS"]
