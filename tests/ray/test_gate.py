"""A gate holds tasks until it is opened, wherever they run."""

import pytest
import ray

from klaw_course.wait import Gate, wait_until


@ray.remote(num_cpus=0)
def pass_through(gate):
    gate.wait()
    return ray.get_runtime_context().get_node_id()


def test_a_gate_holds_tasks_on_every_node_until_it_is_opened(three_nodes):
    gate = Gate()
    there = [pass_through.options(label_selector={"ray.io/node-id": node}) for node in three_nodes.nodes.values()]
    refs = [task.remote(gate) for task in there]
    wait_until(lambda: gate.waiting() == 3, "three tasks to wait")
    assert ray.wait(refs, timeout=0)[0] == [] and not gate.is_open()
    gate.open()
    assert ray.get(refs, timeout=20) == list(three_nodes.nodes.values())
    assert gate.is_open() and ray.get(pass_through.remote(gate), timeout=20)
    gate.close()
    with pytest.raises(ray.exceptions.GetTimeoutError):
        gate.wait(timeout_s=0.3)
