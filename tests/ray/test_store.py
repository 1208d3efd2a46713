"""Watching the object stores: what is in them, what was written, and what goes when its last pin goes."""

from __future__ import annotations

import numpy as np
import pytest
import ray

from klaw_course.observe import store

MIB = 2**20


def test_a_put_is_seen_and_its_end_too(one_node):
    before = store.settled()
    with store.watch() as seen:
        ref = ray.put(np.ones(20 * MIB, dtype=np.uint8))
        seen.step("put")
        assert store.now().objects == before.objects + 1
        del ref
        seen.step("del")
    assert seen.steps["put"] - before.used_mb == pytest.approx(20, abs=0.1)
    assert seen.steps["del"] == pytest.approx(before.used_mb, abs=0.1)
    assert seen.written_mb == pytest.approx(20, abs=0.1)
    assert max(row.used_mb for _, row in seen.rows) >= seen.steps["put"]


def test_a_step_waits_for_a_change_and_no_longer_than_it_is_told(one_node):
    ref = ray.put(np.ones(5 * MIB, dtype=np.uint8))
    array = ray.get(ref)
    with store.watch() as seen:
        del ref
        seen.step("nothing changes", wait_s=0.2)
        del array
        seen.step("all goes", wait_s=30)
    first, second = seen.steps.values()
    assert first - second == pytest.approx(5, abs=0.1)
    assert seen.rows[-1][0] < 20


def test_used_is_what_lies_there_and_primary_what_a_reference_asks_for(one_node):
    store.settled()
    ref = ray.put(np.ones(5 * MIB, dtype=np.uint8))
    array = ray.get(ref)
    both = store.now()
    del ref
    content = store.settled()
    assert both.used_mb - content.used_mb == pytest.approx(0, abs=0.1)
    assert both.primary_mb - content.primary_mb == pytest.approx(5, abs=0.1)
    del array


def test_the_plot_has_a_curve_for_each_name_and_tells_the_steps(one_node):
    with store.watch() as seen:
        seen.step("look", wait_s=0)
    picture = seen.plot("title", "used_mb", "spilled_mb")
    assert len(picture.figure.axes[0].lines) == 3, "two curves and a step"
    assert "title" in picture.alt and "look" in picture.alt and "written to disk" in picture.alt


def test_an_error_in_the_block_gets_out_and_no_thread_stays(one_node):
    with pytest.raises(KeyError), store.watch() as seen:
        raise KeyError("mine")
    rows = len(seen.rows)
    store.settled(quiet_s=0.3)
    assert len(seen.rows) == rows


def test_without_a_cluster_it_says_what_to_do(no_cluster):
    with pytest.raises(RuntimeError, match="setup cell"):
        store.now()


def test_a_small_result_is_in_no_store_and_a_large_one_is(one_node):
    make = ray.remote(lambda count: np.zeros(count))
    assert not store.holds(make.remote(10))
    large = [make.remote(MIB // 4) for _ in range(20)]  # some of whose reports come after they have ended
    assert all(store.holds(ref, patience_s=10) for ref in large)
