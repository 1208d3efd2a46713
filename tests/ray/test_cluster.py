"""Starting, attaching and stopping, also in hostile surroundings."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
import ray
from ray.util.state import list_jobs

from klaw_course import cluster
from klaw_course.cluster import Node
from klaw_course.wait import wait_until

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def where() -> str:
    return ray.get(ray.remote(lambda: ray.get_runtime_context().get_node_id()).remote())


@ray.remote
def sleeper() -> str:
    time.sleep(0.5)
    return ray.get_runtime_context().get_node_id()


def run(program: str, **environment: str) -> list[str]:
    """The lines that a program prints which knows nothing of this process's cluster but what is given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "KLAW_"))}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env={**clean, **environment})
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()


def access_to(here) -> dict[str, str]:
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": here.token}


def beyond_loopback(here) -> list[tuple[str, str]]:
    """The addresses beyond loopback at which this process and those of the cluster listen."""
    return [
        (process.role, connection.laddr.ip)
        for process in here.processes()
        for connection in psutil.Process(process.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN and connection.laddr.ip not in LOOPBACK
    ]


def test_start_twice_is_the_same_cluster_and_says_so(one_node, capsys):
    again = cluster.start(Node("head", cpus=2))
    assert again is one_node and "Already running" in capsys.readouterr().out


def test_nothing_listens_beyond_loopback_and_a_group_of_pytorch_neither(one_node):
    from ray.experimental.collective import create_collective_group

    @ray.remote(num_cpus=0)
    class Member:
        def sum(self):
            import numpy
            from ray.util import collective

            numbers = numpy.ones(3, dtype=numpy.float32)
            collective.allreduce(numbers, group_name="two")
            return numbers.tolist()

    members = [Member.remote(), Member.remote()]
    create_collective_group(members, backend="gloo", name="two")
    assert ray.get([member.sum.remote() for member in members]) == [[2, 2, 2]] * 2
    workers = [psutil.Process(process.pid) for process in one_node.processes() if process.role == "worker"]
    listening = [sum(socket.status == psutil.CONN_LISTEN for socket in worker.net_connections()) for worker in workers]
    assert max(listening) > 3  # the first member's: Ray's, two for the group, and that of the store where they met
    assert beyond_loopback(one_node) == []
    # Where the machine's name stands for loopback, as in some containers, these are not needed and yet set.
    assert os.environ["GLOO_SOCKET_IFNAME"] == os.environ["TP_SOCKET_IFNAME"] in ("lo", "lo0")


def test_a_token_in_a_private_file_is_needed(one_node):
    file = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    assert file.read_text() == one_node.token and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    def status(**headers):
        try:
            return urllib.request.urlopen(
                urllib.request.Request(one_node.dashboard_url + "/api/version", headers=headers)
            )
        except urllib.error.HTTPError as error:
            return error

    assert status().status == 401
    assert json.load(status(Authorization=f"Bearer {one_node.token}"))["ray_version"] == ray.__version__


def test_processes_are_named_and_counted(one_node):
    where()
    roles = [process.role for process in one_node.processes()]
    assert {"GCS", "raylet", "worker", "dashboard", "autoscaler", "log monitor"} <= set(roles)
    assert roles.count("driver (this notebook)") == roles.count("raylet") == roles.count("GCS") == 1
    assert all(process.memory_mb > 0 for process in one_node.processes())


@pytest.mark.parametrize("how", ["host:port", "KLAW_RAY_ADDRESS"])
def test_attaching_works_and_stop_only_disconnects(one_node, how):
    program = f"""
from klaw_course import cluster
from klaw_course.observe import timeline
import ray
here = cluster.start({f"address={one_node.address!r}" if how == "host:port" else ""})
with timeline.record() as run:
    print(ray.get(ray.remote(lambda: ray.get_runtime_context().get_node_id()).remote()))
print(here.attached, run.count_by("node"))
for cannot in (lambda: here.kill_node("head"), here.processes):
    try:
        cannot()
    except RuntimeError as error:
        print(error)
cluster.stop()
"""
    more = {"KLAW_RAY_ADDRESS": one_node.address} if how == "KLAW_RAY_ADDRESS" else {}
    lines = run(program, **access_to(one_node), **more)[-5:]  # after what the start says
    assert lines[0] == one_node.nodes["head"]
    assert lines[1] == "True {'head': 1}"
    assert lines[2].startswith("Cannot kill the node 'head': this cluster is attached to yours")
    assert lines[3].startswith("processes() shows what runs on this machine")
    assert lines[4] == "Disconnected; your cluster runs on."
    assert where() == one_node.nodes["head"]  # it does


def staff(where):
    """The processes of a cluster that do not come and go as its workers do."""
    return {process.pid for process in where.processes() if process.role != "worker"}


def test_a_private_cluster_ignores_ray_address_and_a_taken_port_and_leaves_the_other_untouched(one_node):
    before = staff(one_node)
    jobs = len(list_jobs())
    program = """
import os
from klaw_course import cluster
import ray
here = cluster.start()
print(here.nodes["head"], here.dashboard_url)
cluster.stop()
print(os.environ["RAY_ADDRESS"], os.environ.get("RAY_TMPDIR"))
"""
    lines = run(program, RAY_ADDRESS=one_node.address, **access_to(one_node))
    node, url = lines[-3].split()  # before the two that stop() and the program print
    assert node not in one_node.nodes.values() and url != one_node.dashboard_url, lines
    assert lines[-1] == f"{one_node.address} None"
    assert staff(one_node) >= before
    assert len(list_jobs()) == jobs
    assert where() == one_node.nodes["head"]


def test_what_needs_simulated_nodes_says_so(one_node):
    with pytest.raises(RuntimeError, match="add the node 'x'.*one real node"):
        one_node.add_node(Node("x"))
    with pytest.raises(KeyError, match="no-such-id"):
        one_node.name_of("no-such-id")
    assert one_node.name_of(None) == "-"


def test_simulated_nodes_have_names_labels_and_resources_and_come_and_go(three_nodes):
    assert set(three_nodes.nodes) == {"head", "a", "b"} and three_nodes.simulated
    on_a = ray.remote(label_selector={"zone": "a"})(lambda: ray.get_runtime_context().get_node_id())
    on_b = ray.remote(resources={"disk": 1})(lambda: ray.get_runtime_context().get_node_id())
    assert [three_nodes.name_of(node) for node in ray.get([on_a.remote(), on_b.remote()])] == ["a", "b"]
    submit = ray.remote(num_cpus=0, label_selector={"zone": "a"})(lambda: ray.get([sleeper.remote() for _ in range(2)]))
    assert [three_nodes.name_of(node) for node in ray.get(submit.remote())] == ["a", "a"]  # by its own setting
    dead = three_nodes.nodes["a"]
    three_nodes.kill_node("a")
    assert set(three_nodes.nodes) == {"head", "b"} and three_nodes.name_of(dead) == "a"
    for name in ("a", "head", "nobody"):
        with pytest.raises(ValueError, match=f"{name!r} can be killed; choose one of: b"):
            three_nodes.kill_node(name)
    with pytest.raises(ValueError, match="'b' is alive already"):
        three_nodes.add_node(Node("b"))
    assert three_nodes.name_of(three_nodes.add_node(Node("c", cpus=1))) == "c"
    assert beyond_loopback(three_nodes) == []


def test_hide_hides_reports_and_never_what_an_actor_prints(no_cluster, capsys):
    @ray.remote
    class Zoo:
        def speak(self):
            print("a zebra is printed")
            print("a zebra on standard error\nthe last line there", file=sys.stderr)

    cluster.start(Node("head"), hide="zebra|worker died")
    zoo, said = Zoo.remote(), []
    ray.get(zoo.speak.remote())

    def shown() -> str:
        said.extend(capsys.readouterr())
        return "".join(said)

    wait_until(lambda: "a zebra is printed" in shown() and "the last line there" in shown(), "the lines")
    assert "a zebra on standard error" not in shown()
    ray.kill(zoo)
    cluster.stop()
    assert "worker died" not in shown()
