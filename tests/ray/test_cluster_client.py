"""Attached through Ray Client (``ray://``): it says what is not to be had, works, and ends cleanly."""

from __future__ import annotations

import sys
from pathlib import Path

from klaw_course.cluster import attach

sys.path.insert(0, str(Path(__file__).parents[1] / "lessons"))
from two_nodes import TwoNodes

PROGRAM = """
import os
import ray
from klaw_course import cluster
from klaw_course.observe import timeline

before = dict(os.environ)
here = cluster.start(cluster.Node("head"))
print(here.attached, here.client, len(here.nodes))
with timeline.record() as run:
    print(ray.get(ray.remote(lambda: "done").remote()))
print(run.count_by("state"))
cluster.stop()
print(ray.is_initialized(), dict(os.environ) == before)
"""


def test_through_ray_client_a_sentence_says_what_is_missing_and_the_rest_works():
    with TwoNodes() as two:
        status, printed = two.run(sys.executable, "-c", PROGRAM, KLAW_RAY_ADDRESS=two.client_address)
    assert status == 0, printed
    lines = [line for line in printed.splitlines() if line.strip() and not line.startswith("SIGTERM handler")]
    assert lines[0].startswith("Through ray:// (Ray Client) you do not have ") and "state API" not in lines[0]
    assert lines[1].startswith("Attached, so the nodes are as you started them")
    assert f"attached to {two.client_address}" in lines[2]
    assert lines[3:] == [
        "True True 2",
        "done",
        "{'FINISHED': 1}",
        "Disconnected; your cluster runs on.",
        "False True",
    ]


def test_a_dashboard_that_cannot_be_reached_is_named():
    assert "the state API (rows of tasks" in attach._lacks("http://127.0.0.1:1")
    assert "the state API (rows of tasks" in attach._lacks("")
