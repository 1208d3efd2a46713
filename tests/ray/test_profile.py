"""Profiles of live actors: on this node and on another, from outside and from inside; and of one that waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter

import psutil
import pytest
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from ray.util.state import list_actors

from klaw_course import cluster
from klaw_course.observe import profile
from klaw_course.wait import wait_until


@ray.remote(num_cpus=0)
class Stove:
    def work(self, seconds):
        self.burn(time.monotonic() + seconds)

    def burn(self, until):
        while time.monotonic() < until:
            sum(range(1000))

    def wait(self, seconds):
        threading.Event().wait(seconds)

    def pid(self):
        return os.getpid()


@ray.remote(num_cpus=0)
class Cook:
    def waits_and_gets(self, stove, seconds):
        os.nice(15 - os.nice(0))  # as Ray's workers are by default; the suite has them otherwise
        ref = stove.work.remote(seconds)
        ray.wait([ref], timeout=seconds / 2)
        ray.get(ref)


def on(name):
    """An actor on the node of this name; its process id; the node's id."""
    node = cluster.current().nodes[name]
    actor = Stove.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote()
    return actor, ray.get(actor.pid.remote()), node


def spies():
    """This process's own: beside this test a lesson may profile, too."""
    return [child for child in psutil.Process().children() if child.name() == "py-spy"]


@pytest.mark.parametrize("attach", [True, False])
def test_the_function_that_computes_is_seen_and_waiting_is_not(one_node, attach, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    actor, pid, _ = on("head")
    with profile.record(actor, attach=attach) as busy:
        ray.get(actor.work.remote(1.0))
    assert busy.pid == pid and str(pid) in busy.how and "node head" in busy.how
    assert busy.share("burn") > 0.5 and busy.busy > 0.3, "on a busy machine samples are lost"
    assert "burn" in busy.flame().alt and "burn" in busy.table()
    with profile.record(actor, attach=attach) as quiet:
        ray.get(actor.wait.remote(2.0))  # so long that the first moments of a call are few
    assert quiet.busy < 0.15
    with pytest.raises(ValueError, match="Too little to draw: at [0-9]+ of"):
        quiet.flame()
    assert not list(tmp_path.iterdir()) and not spies(), "nothing is left"
    ray.kill(actor)


def test_on_a_busy_machine_who_waits_in_ray_does_not_seem_to_work(one_node):
    """Such a thread wakes to look, stands in line for a core, and runs for all that time, says the system."""
    cook, stove = Cook.remote(), on("head")[0]
    ray.get(cook.waits_and_gets.remote(stove, 0))
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count())]
    try:
        with profile.record(cook) as seen:
            ray.get(cook.waits_and_gets.remote(stove, 2.0))
    finally:
        for process in busy:
            process.kill()
            process.wait()
    ends = Counter()
    for frames, count in seen.stacks.items():
        if frames and frames[-1].file.endswith("/ray/_private/worker.py"):
            ends[frames[-1].function.rpartition(".")[2]] += count
    del ends["main_loop"]  # it begins the task
    assert ends.total() <= 3, f"{ends}: a look or two may find the lines after a wait, which do run"
    ray.kill(cook)
    ray.kill(stove)


@pytest.mark.parametrize("attach", [True, False])
def test_the_actor_of_another_node_is_profiled_there(three_nodes, attach):
    actor, pid, node = on("a")
    with profile.record(actor, attach=attach) as seen:
        ray.get(actor.work.remote(0.6))
        alive = [("class_name", "=", "KlawProbe"), ("state", "=", "ALIVE")]
        probes = wait_until(lambda: list_actors(filters=alive, detail=True), "the probe to be reported")
        assert [probe.node_id for probe in probes] == [node], "what measures is on that node"
    assert (seen.node, seen.pid) == (node, pid) and "node a" in seen.how and seen.share("burn") > 0.5
    left = [("class_name", "=", "KlawProbe"), ("state", "!=", "DEAD")]
    wait_until(lambda: not list_actors(filters=left), "the probe to end")
    ray.kill(actor)


def test_where_nothing_may_attach_the_actor_samples_itself_and_says_why(one_node, monkeypatch, tmp_path):
    refuses = tmp_path / "py-spy"
    refuses.write_text("#!/bin/sh\necho 'Permission Denied: Try running again with elevated permissions'\nexit 1\n")
    refuses.chmod(0o700)
    monkeypatch.setattr(profile.shutil, "which", lambda name, path=None: str(refuses))
    actor, pid, _ = on("head")
    with profile.record(actor) as seen:
        ray.get(actor.work.remote(0.6))
    assert seen.how.startswith(f"a thread inside process {pid} on node head") and "Permission Denied" in seen.how
    assert seen.share("burn") > 0.5
    monkeypatch.setattr(profile.shutil, "which", lambda name, path=None: None)
    with profile.record(actor) as seen:
        pass
    assert "py-spy is not installed" in seen.how
    ray.kill(actor)


def test_py_spy_ends_where_the_signal_that_ends_it_is_blocked(one_node):
    """As it is in the workers of ``ray start`` nodes, where py-spy went on until it was killed, and wrote nothing."""
    actor, _, _ = on("head")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with profile.record(actor) as seen:
            ray.get(actor.work.remote(0.6))
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()), "this process's own mask is put back"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert seen.share("burn") > 0.5
    ray.kill(actor)


def test_an_error_in_the_block_ends_py_spy(one_node):
    actor, _, _ = on("head")
    with pytest.raises(LookupError), profile.record(actor):
        assert spies(), "it runs meanwhile"
        raise LookupError
    assert not spies()
    ray.kill(actor)


def test_an_actor_that_has_ended_cannot_be_profiled(one_node):
    actor, pid, _ = on("head")
    ray.kill(actor)
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie", "its end")
    with pytest.raises(ValueError, match="has no process"), profile.record(actor):
        pass


def test_a_process_that_does_not_exist_is_refused():
    free = subprocess.Popen(["true"])
    free.wait()
    assert profile._attach(free.pid, 100) and not profile._attached
