"""What start() is asked for: nodes and addresses. Bad ones are one clear error, before any Ray starts."""

from __future__ import annotations

import os

import pytest
import ray

from klaw_course import cluster
from klaw_course.cluster import Node, attach


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


def test_a_node_has_the_gpus_that_it_was_given():
    assert [node.arguments()["num_gpus"] for node in (Node("a"), Node("a", gpus=1))] == [0, 1]


def test_two_nodes_of_one_name_and_a_pattern_that_is_none_are_refused():
    with pytest.raises(ValueError, match="a, a"):
        cluster.start(Node("a"), Node("a"))
    with pytest.raises(ValueError, match=r"hide='\(' is no regular expression"):
        cluster.start(hide="(")


@pytest.mark.parametrize(
    ("address", "error", "says"),
    [
        ("nonsense", ValueError, "'nonsense'.*host:port"),
        ("host:port", ValueError, "'host:port'.*write"),
        ("", ValueError, "''.*write"),
        ("ray://", ValueError, "'ray://'.*write"),
        ("127.0.0.1:1", ConnectionError, "Nobody listens at '127.0.0.1:1'.*running"),
        ("ray://127.0.0.1:1", ConnectionError, "Nobody listens at 'ray://127.0.0.1:1'"),
    ],
)
def test_a_bad_address_is_one_clear_error(address, error, says):
    with pytest.raises(error, match=says):
        cluster.start(address=address)
    assert not ray.is_initialized()


def test_only_an_address_that_the_learner_gives_attaches(monkeypatch):
    monkeypatch.delenv("KLAW_RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_HEAD_SERVICE_HOST", "head.example")  # Kubernetes sets both for a service "ray-head"
    monkeypatch.setenv("RAY_HEAD_SERVICE_PORT", "10001")
    assert attach.address_to_attach() is None
    monkeypatch.setenv("KLAW_RAY_ADDRESS", "auto")
    assert attach.address_to_attach() == "auto"
    assert attach.address_to_attach("host:6379") == "host:6379"


@pytest.mark.parametrize(
    "call",
    [
        lambda: ray.remote(lambda: 1).remote(),
        lambda: ray.remote(type("Actor", (), {})).remote(),
        lambda: ray.put(1),
        lambda: ray.get_actor("nobody"),
        lambda: ray.util.placement_group([{"CPU": 1}]),
    ],
)
def test_without_a_cluster_ray_starts_none_by_itself(call):
    with pytest.raises(RuntimeError, match=r"No cluster is running; .* calls cluster\.start\(\)"):
        call()
    assert not ray.is_initialized()


def test_a_program_beside_has_this_environment_and_scratch_files_that_go_with_a_private_cluster(tmp_path, monkeypatch):
    monkeypatch.setenv("KLAW_TEST", "mine")
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    private, attached = (
        cluster.Cluster("127.0.0.1:1", dashboard_url="", session_dir="", folder=folder) for folder in (tmp_path, None)
    )
    assert private.environment() == {**os.environ, "TMPDIR": str(tmp_path)}
    assert attached.environment() == dict(os.environ)
    private.environment().clear()
    assert os.environ["KLAW_TEST"] == "mine"
