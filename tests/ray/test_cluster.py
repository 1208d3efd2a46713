"""Starting, attaching and stopping, also in hostile surroundings."""

from __future__ import annotations

import json
import os
import socket
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


def test_start_twice_is_the_same_cluster_and_says_so(one_node, capsys):
    again = cluster.start(Node("head", cpus=2))
    assert again is one_node and "Already running" in capsys.readouterr().out


def test_nothing_listens_beyond_loopback(one_node):
    pids = [process.pid for process in one_node.processes()]
    listening = [
        (connection.laddr.ip, psutil.Process(pid).name())
        for pid in pids
        for connection in psutil.Process(pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) > 5
    assert [pair for pair in listening if pair[0] not in LOOPBACK] == []


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
try:
    here.kill_node("head")
except RuntimeError as error:
    print(error)
cluster.stop()
"""
    more = {"KLAW_RAY_ADDRESS": one_node.address} if how == "KLAW_RAY_ADDRESS" else {}
    lines = run(program, **access_to(one_node), **more)
    assert lines[1] == one_node.nodes["head"]
    assert lines[2] == "True {'head': 1}"
    assert lines[3].startswith("Cannot kill the node 'head': this cluster is attached to yours")
    assert lines[4] == "Disconnected; your cluster runs on."
    assert where() == one_node.nodes["head"]  # it does


def test_a_private_cluster_ignores_ray_address_and_a_taken_port_and_leaves_the_other_untouched(one_node):
    before = {process.pid for process in one_node.processes()}
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
    held = socket.socket()
    try:
        held.bind(("127.0.0.1", 8265))  # taken by our dashboard, or else by us
    except OSError:
        held.close()
    lines = run(program, RAY_ADDRESS=one_node.address, **access_to(one_node))
    held.close()
    node, url = lines[1].split()
    assert node not in one_node.nodes.values() and not url.endswith(":8265")
    assert lines[-1] == f"{one_node.address} None"
    assert {process.pid for process in one_node.processes()} >= before
    assert len(list_jobs()) == jobs
    assert where() == one_node.nodes["head"]


def test_stop_leaves_no_process_no_file_and_the_old_environment(no_cluster, monkeypatch, capsys):
    monkeypatch.setenv("RAY_ADDRESS", "somebody.elses:6379")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    before, shared = dict(os.environ), set(os.listdir("/dev/shm")) if os.path.exists("/dev/shm") else set()
    here = cluster.start()
    folder = here.session_dir.parents[1]
    family = [psutil.Process(process.pid) for process in here.processes() if process.pid != os.getpid()]
    assert folder.exists() and len(family) > 5 and os.environ["RAY_ADDRESS"] == here.address
    cluster.stop()
    assert not folder.exists() and not [process for process in family if process.is_running()]
    assert dict(os.environ) == before
    assert not os.path.exists("/dev/shm") or set(os.listdir("/dev/shm")) == shared
    cluster.stop()  # safe to repeat
    assert repr(here) == "<a cluster that was stopped>"


def test_a_ray_that_somebody_else_started_in_this_process_is_not_taken_over(no_cluster):
    ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="error")
    try:
        with pytest.raises(RuntimeError, match=r"not by cluster\.start\(\); call ray\.shutdown\(\)"):
            cluster.start()
        assert ray.is_initialized()
    finally:
        ray.shutdown()


@pytest.mark.parametrize(
    ("address", "error", "says"),
    [
        ("nonsense", ValueError, "'nonsense'.*host:port"),
        ("host:port", ValueError, "'host:port'.*write"),
        ("ray://", ValueError, "'ray://'.*write"),
        ("127.0.0.1:1", ConnectionError, "Nobody listens at '127.0.0.1:1'.*running"),
        ("ray://127.0.0.1:1", ConnectionError, "Nobody listens at 'ray://127.0.0.1:1'"),
    ],
)
def test_a_bad_address_is_one_clear_error(no_cluster, address, error, says):
    with pytest.raises(error, match=says):
        cluster.start(address=address)
    assert not ray.is_initialized()


def test_hosted_platforms_name_the_address_of_their_head(monkeypatch):
    monkeypatch.setenv("RAY_HEAD_SERVICE_HOST", "head.example")
    monkeypatch.setenv("RAY_HEAD_SERVICE_PORT", "10001")
    assert cluster._address_to_attach() == "ray://head.example:10001"
    monkeypatch.setenv("KLAW_RAY_ADDRESS", "auto")
    assert cluster._address_to_attach() == "auto"


def test_a_node_has_the_gpus_that_it_was_given():
    assert [cluster._node_arguments(node)["num_gpus"] for node in (Node("a"), Node("a", gpus=1))] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (dict(name=""), "non-empty"),
        (dict(name="a", cpus=-1), "cpus=-1"),
        (dict(name="a", gpus=0.5), "gpus=0.5"),
        (dict(name="a", cpus=1.5), "cpus=1.5"),
        (dict(name="a", store_mb=10), "store_mb=10.*80"),
    ],
)
def test_a_bad_node_is_one_clear_error(arguments, says):
    with pytest.raises(ValueError, match=says):
        Node(**arguments)


def test_two_nodes_of_one_name_are_refused():
    with pytest.raises(ValueError, match="a, a"):
        cluster.start(Node("a"), Node("a"))


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
    listening = {
        connection.laddr.ip
        for process in three_nodes.processes()
        for connection in psutil.Process(process.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening <= set(LOOPBACK)


def test_a_lesson_about_nodes_skips_its_cells_where_there_are_none(one_node, capsys):
    import nbformat
    from nbclient import NotebookClient

    codes = [
        f"from klaw_course import cluster\nhere = cluster.start(cluster.Node('a'), cluster.Node('b'), "
        f"address={one_node.address!r})\ncluster.skip_rest_unless(here.simulated, 'simulated nodes')",
        "raise SystemError('this cell must not run')",
        "cluster.stop()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in codes])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    said = ["".join(output.get("text", "") for output in cell.outputs) for cell in notebook.cells]
    assert "as you started them" in said[0] and "needs simulated nodes" in said[0]
    assert said[1] == "" and "Disconnected" in said[2]


def test_a_frozen_process_stands_still_until_its_block_ends(one_node):
    status = {process.role: psutil.Process(process.pid).status for process in one_node.processes()}

    def stopped(role, wanted=True):
        cluster.wait_until(lambda: (status[role]() == psutil.STATUS_STOPPED) == wanted, f"{role} to be {wanted}")

    with one_node.freeze("nobody"), one_node.freeze("GCS"):
        stopped("GCS")
        assert status["raylet"]() != psutil.STATUS_STOPPED
    with pytest.raises(ZeroDivisionError), one_node.freeze("raylet"):
        stopped("raylet")
        raise ZeroDivisionError
    stopped("GCS", False)
    stopped("raylet", False)
    with pytest.raises(ValueError, match="'postman'; choose one of: GCS, "), one_node.freeze("postman"):
        pass


def test_hidden_lines_are_not_shown_and_others_are(no_cluster, capsys):
    cluster.start(Node("head"), hide="secret|A worker died")
    ray.get(ray.remote(lambda: print("a secret") or print("a plain line")).remote())
    said = []
    cluster.wait_until(lambda: said.append(capsys.readouterr().out) or "plain" in "".join(said), "the line")
    assert "secret" not in "".join(said)
    cluster.stop()


def test_wait_until_says_for_what_it_waited():
    with pytest.raises(TimeoutError, match=r"Waited 0\.1 s for the moon"):
        cluster.wait_until(lambda: False, "the moon", timeout_s=0.1)
    assert cluster.wait_until(lambda: 3, "three") == 3
