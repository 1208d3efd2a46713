"""However a cluster ends, and whatever interrupts its start: no process, no file, and the environment as it was."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import ray
import traces
from ray.dag import InputNode

from klaw_course import cluster
from klaw_course.cluster import host
from klaw_course.wait import wait_until

SHARED = Path("/dev/shm")
SEMAPHORE = re.compile(r"sem\.(?:hdr|obj)(\d+)-")  # of an experimental channel; after its actors nobody maps it


def files_in_shared_memory() -> set[str]:
    """What is there, but for what a program beside this one uses, and the semaphores of a raylet beside it."""
    there = {path.name: path for path in SHARED.glob("*") if not traces.maps_it(path, is_beside)}
    return {name for name in there if not ((pid := SEMAPHORE.match(name)) and runs_beside(int(pid[1])))}


def runs_beside(pid: int) -> bool:
    try:
        return is_beside(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def is_beside(process: psutil.Process) -> bool:
    return os.getpid() not in {process.pid, *(parent.pid for parent in process.parents())}


def runs(process: psutil.Process) -> bool:
    """One whose parent was killed keeps its number, as a zombie, until the system takes notice."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def folders(pid: int) -> list[Path]:
    return list(host.TMP.glob(f"klaw-{pid}-*"))


def run(program: str, **options) -> subprocess.Popen:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "KLAW_"))}
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen([sys.executable, "-c", program], env=clean, **pipes, **options)


def test_stop_leaves_no_process_no_file_and_the_old_environment(no_cluster, monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_ADDRESS", "somebody.elses:6379")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    before, shared = dict(os.environ), files_in_shared_memory()
    here = cluster.start()
    family = [psutil.Process(process.pid) for process in here.processes() if process.pid != os.getpid()]
    assert here.folder.exists() and len(family) > 5 and os.environ["RAY_ADDRESS"] == here.address
    (tmp_path / "a file of the learner's").touch()
    os.environ["RAY_TMPDIR"] = str(tmp_path)  # as for another program that the lesson starts
    cluster.stop()
    assert os.listdir(tmp_path) == ["a file of the learner's"]
    assert not here.folder.exists() and not [process for process in family if runs(process)]
    assert dict(os.environ) == before and files_in_shared_memory() <= shared
    cluster.stop()  # safe to repeat
    assert repr(here) == "<a cluster that was stopped>"
    with pytest.raises(RuntimeError, match=r"calls cluster\.start\(\)"):
        ray.remote(lambda: 1).remote()


@ray.remote(num_cpus=0)
class Echo:
    def say(self, word):
        return word


def test_a_learner_may_shut_ray_down_and_start_again(no_cluster):
    before, shared = dict(os.environ), files_in_shared_memory()
    first = cluster.start()
    echo = Echo.remote()
    with InputNode() as word:
        graph = echo.say.bind(word).experimental_compile()
    assert ray.get(graph.execute("here")) == "here"
    assert len(files_in_shared_memory() - shared) >= 2  # the semaphores of its channels, which Ray does not delete
    ray.shutdown()
    second = cluster.start()
    assert second is not first and repr(first) == "<a cluster that was stopped>" and not first.folder.exists()
    cluster.stop()
    assert dict(os.environ) == before and files_in_shared_memory() <= shared


def test_a_ray_that_somebody_else_started_in_this_process_is_not_taken_over(no_cluster):
    folder = tempfile.mkdtemp(prefix=f"klaw-{os.getpid()}-", dir=host.TMP)  # else it leaves /tmp/ray behind
    ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="error", _temp_dir=folder)
    try:
        with pytest.raises(RuntimeError, match=r"not by cluster\.start\(\); call ray\.shutdown\(\)"):
            cluster.start()
        assert ray.is_initialized()
    finally:
        ray.shutdown()
        shutil.rmtree(folder)


INTERRUPTED = """
import json, os
from klaw_course import cluster
before = dict(os.environ)
try:
    {start}
except KeyboardInterrupt:
    print("interrupted", dict(os.environ) == before, flush=True)
input()
"""


@pytest.mark.parametrize(
    ("start", "when"),
    [("cluster.start()", "raylet"), ("cluster.start(cluster.Node('a'), cluster.Node('b'))", "dashboard.py")],
)
def test_an_interrupted_start_leaves_nothing(no_cluster, start, when):
    shared = files_in_shared_memory()
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.format(start=start)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as kernel:
        family = set()

        def has_come() -> bool:
            family.update(psutil.Process(kernel.pid).children(recursive=True))
            return any(when in " ".join(process.cmdline()) for process in family if process.is_running())

        wait_until(has_come, f"the start to reach {when}", every_s=0.02)
        time.sleep(0.2)  # so that the raylet has begun to start others
        kernel.send_signal(signal.SIGINT)
        kernel.send_signal(signal.SIGINT)  # whoever interrupts once often does so again
        printed = iter(kernel.stdout.readline, "")  # a cluster beside this one may be named before
        assert "interrupted True\n" in printed
        family.update(psutil.Process(kernel.pid).children(recursive=True))
        assert folders(kernel.pid) == []
        wait_until(lambda: not any(map(runs, family)), "its processes to end", timeout_s=5)
        assert files_in_shared_memory() <= shared
        with host.turn_to_start(wait_s=0):
            pass
        kernel.communicate("\n")


ASKED_AFTER_AN_INTERRUPT = """
import signal
import ray
from klaw_course import cluster
from ray.util.state import list_actors
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite that runs in the background ignores it
cluster.start()

@ray.remote(num_cpus=0)
class Counter:
    def add(self):
        return 1

counter = Counter.remote()
ray.get(counter.add.remote())
try:
    print("up", flush=True)
    input()
except KeyboardInterrupt:
    print(ray.get(counter.add.remote()), len(list_actors(timeout=20)), flush=True)
cluster.stop()
"""


def test_jupyters_interrupt_of_a_whole_process_group_leaves_the_cluster_whole(no_cluster):
    kernel = run(ASKED_AFTER_AN_INTERRUPT, start_new_session=True)
    wait_until(lambda: "up" in kernel.stdout.readline(), "its cluster")
    os.killpg(kernel.pid, signal.SIGINT)
    printed, errors = kernel.communicate(timeout=60)
    assert "1 1" in printed.splitlines(), printed + errors


def test_what_a_killed_kernel_left_goes_at_the_next_start(no_cluster):
    killed = run("from klaw_course import cluster; cluster.start(); print('up', flush=True); input()")
    wait_until(lambda: "up" in killed.stdout.readline(), "its cluster")
    assert len(folders(killed.pid)) == 1
    killed.kill()
    killed.communicate()
    cluster.start()
    assert folders(killed.pid) == []
    cluster.stop()


def test_three_that_start_at_once_do_so_in_turn_and_have_a_dashboard_each(no_cluster):
    program = "from klaw_course import cluster; here = cluster.start(); print(here.dashboard_url, flush=True); input()"
    kernels = [run(program) for _ in range(3)]
    printed = [[] for _ in kernels]
    for kernel, lines in zip(kernels, printed, strict=True):
        while not lines or not lines[-1].startswith("http"):
            lines.append(kernel.stdout.readline().strip())
            assert lines[-1], kernel.communicate()[1]
    for kernel in kernels:
        kernel.stdin.close()  # its input() ends; all of them stop at the same time
    for kernel in kernels:
        kernel.wait(60)
    assert len({lines[-1] for lines in printed}) == 3
    assert sum("waits for its turn" in line for lines in printed for line in lines) >= 2
    ours = tuple(f"(kernel: process {kernel.pid})" for kernel in kernels)
    named = [line for lines in printed for line in lines if any(pid in line for pid in ours)]
    assert len(named) == 0 + 1 + 2  # the first to start finds none, the last two
