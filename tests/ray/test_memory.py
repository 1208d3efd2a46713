"""Watching the memory of actors: on this node, on another one, and when they end. The rest is in tests/unit."""

from __future__ import annotations

import os
import socket
import threading

import psutil
import pytest
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from ray.util.state import list_actors

from klaw_course import cluster
from klaw_course.observe import memory, remote, timeline
from klaw_course.wait import wait_until


@ray.remote(max_restarts=1)
class Hoarder:
    def __init__(self):
        self.kept = []

    def keep(self, mb):
        self.kept.append(bytearray(b"x") * (mb << 20))

    def pid(self):
        return os.getpid()

    def listen(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        return self.socket.getsockname()[1]


def test_an_actor_that_restarts_is_found_again(one_node):
    actor = Hoarder.remote()
    ray.get(actor.keep.remote(0))
    with memory.watch({"actor": actor}, every_s=0.05) as seen:
        ray.get(actor.keep.remote(60))
        wait_until(lambda: seen.peak_mb("actor") - seen.own_mb("actor")[0] > 55, "a sample of what it keeps")
        ray.kill(actor, no_restart=False)
        wait_until(lambda: 0 < seen.own_mb("actor")[-1] < seen.peak_mb("actor") - 50, "its next process")
    first, last = seen.own_mb("actor")[0], seen.own_mb("actor")[-1]
    assert seen.peak_mb("actor") - first > 55 and 0 < last < first + 30
    ray.kill(actor)


def hoarder_on(name):
    """An actor on the node of this name that has answered; its process id; and the node's id."""
    node = cluster.current().nodes[name]
    actor = Hoarder.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote()
    return actor, ray.get(actor.pid.remote()), node


def probes_alive():
    return list_actors(filters=[("class_name", "=", "KlawProbe"), ("state", "!=", "DEAD")])


def forbid_to_read(monkeypatch, pid):
    """From now on this process cannot look at that one."""
    look_up = psutil.Process

    def refuse(wanted=None):
        assert wanted != pid, "the process was looked up on the driver's node"
        return look_up(wanted)

    monkeypatch.setattr(psutil, "Process", refuse)


def test_an_actor_on_another_node_is_measured_there(three_nodes, monkeypatch):
    actor, pid, node = hoarder_on("a")
    forbid_to_read(monkeypatch, pid)
    with memory.watch({"there": actor, "pair": (node, pid), "here": os.getpid()}, every_s=0.05) as seen:
        ray.get(actor.keep.remote(50))
    assert seen.growth_mb("there") == pytest.approx(50, rel=0.1)
    assert seen.own_mb("pair") == seen.own_mb("there")
    assert {(row.name, row.probed) for row in seen.rows} == {("there", (node,)), ("pair", (node,)), ("here", ())}
    assert memory.own_mb(actor) == pytest.approx(seen.own_mb("there")[-1], rel=0.1)
    assert memory.own_mb([(node, pid), os.getpid()]) > memory.own_mb((node, pid)) + 5
    assert seen.rows[0].second == 0 and seen.rows[-1].second < 10
    wait_until(lambda: not probes_alive(), "the probe to end")
    ray.kill(actor)


def test_an_actor_on_this_node_is_read_without_a_probe(three_nodes):
    actor, pid, node = hoarder_on("head")
    with memory.watch({"actor": actor, "pair": (node, pid)}) as seen:
        assert not probes_alive()
    assert {row.probed for row in seen.rows} == {()} and seen.own_mb("actor")[0] > 5
    ray.kill(actor)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_after_an_error_or_an_interrupt_no_thread_and_no_probe_is_left(three_nodes, error):
    actor, _, _ = hoarder_on("a")
    threads = threading.active_count()
    with pytest.raises(error), memory.watch({"actor": actor}):
        assert len(probes_alive()) == 1 and threading.active_count() == threads + 1
        raise error
    wait_until(lambda: not probes_alive(), "the probe to end")
    assert threading.active_count() == threads
    with pytest.raises(TypeError), memory.watch({"actor": actor, "nobody": "text"}):
        pass
    assert not probes_alive()
    ray.kill(actor)


def test_what_does_not_exist_on_the_other_node_is_an_error_that_says_so(three_nodes):
    actor, pid, node = hoarder_on("a")
    with pytest.raises(ValueError, match=f"No process on the node {node} has the pid 4000000;"):
        memory.own_mb((node, 4_000_000))
    watch = memory.watch({"nobody": (node, 4_000_000)})  # kept, as a notebook keeps what an error's traceback refers to
    with pytest.raises(ValueError, match="No process on the node"), watch:
        pass
    wait_until(lambda: not probes_alive(), "the probe to end")
    nowhere = "a1" * (len(node) // 2)
    with pytest.raises(RuntimeError, match=f"Nothing can be measured on the node {nowhere}"):
        memory.own_mb((nowhere, pid))
    ray.kill(actor)
    wait_until(lambda: remote.node_and_pid(actor) is None, "the actor to end")
    with pytest.raises(ValueError, match="has no process"):
        memory.own_mb(actor)


def test_a_function_runs_on_the_node_that_is_asked_and_is_not_recorded(three_nodes):
    actor, pid, node = hoarder_on("b")
    with timeline.record() as run:
        where = remote.on_node(node, lambda: (ray.get_runtime_context().get_node_id(), os.getpid()))
        port = ray.get(actor.listen.remote())
        found = remote.sockets(node, [pid])
        with memory.watch({"there": actor}):
            pass
    assert where[0] == node and where[1] != os.getpid()
    assert remote.on_node(remote.this_node(), os.getpid) == os.getpid()
    assert [each.status for each in found if each.local == f"127.0.0.1:{port}"] == ["LISTEN"]
    assert run.count_by("name") == {"Hoarder.listen": 1}
    ray.kill(actor)


def test_a_node_that_dies_takes_its_memory_with_it(three_nodes):
    three_nodes.add_node(cluster.Node("c"))
    actor, _, _ = hoarder_on("c")
    with memory.watch({"there": actor}, every_s=0.1) as seen:
        three_nodes.kill_node("c")
        wait_until(lambda: seen.own_mb("there")[-1] == 0, "the memory of the dead node to be nothing")
    assert seen.own_mb("there")[0] > 5
