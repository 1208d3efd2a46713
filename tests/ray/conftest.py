"""Clusters for the tests: started once, and stopped before a test that wants another or none."""

from __future__ import annotations

import pytest

from klaw_course import cluster
from klaw_course.cluster import Node


@pytest.fixture
def one_node():
    """One real node with two CPUs; the next test that asks for it gets the same."""
    return cluster.start(Node("head", cpus=2))


@pytest.fixture
def three_nodes():
    """A head and two more nodes, simulated, two CPUs each."""
    pack = {"scheduler_spread_threshold": 1}
    a, b = Node("a", labels={"zone": "a"}, settings=pack), Node("b", resources={"disk": 1})
    return cluster.start(Node("head"), a, b, warm=False)


@pytest.fixture
def no_cluster():
    cluster.stop()


@pytest.fixture(scope="module", autouse=True)
def stop_at_the_end():
    yield
    cluster.stop()
