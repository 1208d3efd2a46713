"""Every lesson attached to a cluster of somebody else: two real nodes, started with ``ray start``.

What can run there does, what cannot says so in a line, and nothing fails. How many cells ran is printed and held.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from two_nodes import CLIENT_PORT, TwoNodes

HERE, NOTEBOOKS = Path(__file__).parent, Path(__file__).parents[2] / "notebooks"
LESSONS = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
# Of a lesson's cells.
AT_LEAST = {
    "04_actors": 0.8,
    "06_memory_leak": 0.8,
    "08_building_channels": 0.8,
    "09_choosing_channels": 0.8,
    "10_transport": 0.8,
    "12_profiling": 0.8,
}
OF_ALL = 0.6
_counts: dict[str, tuple[int, int]] = {}  # lesson -> teaching cells that ran, and all of them


@pytest.fixture(scope="module")
def two_nodes():
    with TwoNodes() as nodes:
        yield nodes


@pytest.fixture(scope="module", autouse=True)
def print_the_table(request):
    yield
    lines = [f"{lesson:20} {ran:3} of {cells:3} cells ran" for lesson, (ran, cells) in _counts.items()]
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("\nAttached to two nodes:", *lines, sep="\n  ")


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs_on_a_cluster_that_is_not_its_own(two_nodes, lesson):
    command = [sys.executable, str(HERE / "run_attached.py"), str(NOTEBOOKS / f"{lesson}.ipynb")]
    status, printed = two_nodes.run(*command, KLAW_RAY_ADDRESS=two_nodes.address)
    assert status == 0, printed[-3000:]
    result = json.loads(printed.splitlines()[-1])
    _counts[lesson] = ran, cells = len(result["ran"]), len(result["ran"] + result["skipped"])
    assert not result["error"], result["error"]
    assert "attached to 127.0.0.1" in result["first"] and "Disconnected; your cluster runs on." in result["last"]
    assert all(text.count("\n") == 1 for text in result["said"].values())
    assert ran >= AT_LEAST.get(lesson, 0) * cells, f"skipped: {', '.join(result['skipped'])}"


def test_most_cells_of_all_lessons_run_there():
    ran, cells = map(sum, zip(*_counts.values(), strict=True))
    assert len(_counts) == len(LESSONS) and ran >= OF_ALL * cells, _counts


CHANNEL = """
import ray
from klaw_course.channel import Channel

ray.init(address="auto", log_to_driver=False)
here, there = [{"label_selector": {"ray.io/node-id": node["NodeID"]}} for node in ray.nodes()]

@ray.remote
def send(channel, size):
    with channel.sender() as sender:
        for number in range(8):
            sender.send((number, bytes([number]) * size))
    channel.close()

@ray.remote
def receive(channel):
    return [item == (number, bytes([number]) * len(item[1])) for number, item in enumerate(channel)]

for owner in ("channel", "sender"):
    for size in (100, 3_000_000):
        channel = Channel(4, owner=owner, **there)
        got = receive.options(**here).remote(channel)
        send.options(**there if size == 100 else here).remote(channel, size)
        print(owner, size, ray.get(got, timeout=60) == [True] * 8, channel.stats()["high_water"] <= 4)
"""


def test_a_channel_between_two_nodes(two_nodes):
    status, printed = two_nodes.run(sys.executable, "-c", CHANNEL, RAY_ADDRESS=two_nodes.address)
    assert status == 0, printed
    rows = [line.split() for line in printed.splitlines()[-4:]]
    sizes = [[owner, size, "True", "True"] for owner in ("channel", "sender") for size in ("100", "3000000")]
    assert rows == sizes, printed


KILLER = """
import contextlib, threading
import psutil
from klaw_course import cluster

for head in psutil.process_iter(["cmdline"]):
    if {"--mode=proxy", "--port=PORT"} <= set(head.info["cmdline"] or ()):
        break
there, killed = set(head.children()), []

def kill():
    while not killed:
        for process in set(head.children()) - there:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                killed.append(process.pid)

threading.Thread(target=kill, daemon=True).start()
here = cluster.start(cluster.Node("head"))
print(len(killed), here.client)
cluster.stop()
"""


def test_through_ray_client_a_process_that_dies_at_its_birth_is_asked_for_again(two_nodes):
    """The head of Ray 2.60 starts a process for each client; now and then it dies before it has begun."""
    program = KILLER.replace("PORT", str(CLIENT_PORT))
    status, printed = two_nodes.run(sys.executable, "-c", program, KLAW_RAY_ADDRESS=two_nodes.client_address)
    assert status == 0, printed
    assert "1 True" in printed.splitlines(), printed


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


def test_through_ray_client_a_sentence_says_what_is_missing_and_the_rest_works(two_nodes):
    status, printed = two_nodes.run(sys.executable, "-c", PROGRAM, KLAW_RAY_ADDRESS=two_nodes.client_address)
    assert status == 0, printed
    lines = [line for line in printed.splitlines() if line.strip() and not line.startswith("SIGTERM handler")]
    assert lines[0].startswith("Through ray:// (Ray Client) you do not have ") and "state API" not in lines[0]
    assert lines[1].startswith("Attached, so the nodes are as you started them")
    assert f"attached to {two_nodes.client_address}" in " ".join(lines[2:-5])
    assert lines[-5:] == [
        "True True 2",
        "done",
        "{'FINISHED': 1}",
        "Disconnected; your cluster runs on.",
        "False True",
    ]
