"""What checkers need of a cluster: free CPUs, an actor that starts, a private one; and the hints if it is missing."""

from types import SimpleNamespace

import pytest
import ray

from klaw_course import cluster
from klaw_course.check import NotHere, Wrong
from klaw_course.check.needs import first_result, need_free_cpus, need_private
from klaw_course.wait import wait_until


@ray.remote(num_cpus=1)
class Holder:
    def answer(self, number):
        if number < 0:
            raise LookupError("no answer")
        return number


def test_a_cpu_that_is_held_is_said_and_free_ones_pass(one_node):
    need_free_cpus()
    need_free_cpus(2)
    with pytest.raises(NotHere, match="counts on 3 CPUs, and the cluster has 2"):
        need_free_cpus(3)
    holder = Holder.remote()
    ray.get(holder.answer.remote(1))
    wait_until(lambda: ray.available_resources().get("CPU") == 1, "the CPU to be reported as held")
    with pytest.raises(Wrong, match="holds a CPU: delete your actors"):
        need_free_cpus(timeout_s=0.5)
    del holder
    need_free_cpus()


def test_an_actor_that_has_no_cpu_to_start_on_is_said(one_node):
    need_free_cpus()
    holders = [Holder.remote() for _ in range(2)]
    assert [first_result(holder.answer.remote(number)) for number, holder in enumerate(holders)] == [0, 1]
    with pytest.raises(LookupError, match="no answer"):
        first_result(holders[0].answer.remote(-1))
    with pytest.raises(Wrong, match=r"did not end in 0\.5 s\. Does an actor that you made before hold the CPU"):
        first_result(Holder.remote().answer.remote(1), timeout_s=0.5)
    del holders
    wait_until(lambda: ray.available_resources().get("CPU") == 2, "the CPUs to be free")


def test_an_attached_cluster_is_said_where_a_private_one_is_needed(one_node, monkeypatch):
    need_private()
    monkeypatch.setattr(cluster, "current", lambda: SimpleNamespace(attached=True))
    with pytest.raises(NotHere, match="unset KLAW_RAY_ADDRESS"):
        need_private()
