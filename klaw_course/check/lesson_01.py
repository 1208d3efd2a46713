"""Checkers of lesson 01, Task lifecycle."""

import os
import time
from collections import Counter

import ray
from ray.util.state import get_task

from klaw_course import cluster
from klaw_course.check import need
from klaw_course.check.needs import need_free_cpus
from klaw_course.observe import timeline

_THREE_STATES = ("RUNNING", "PENDING_ARGS_AVAIL", "PENDING_NODE_ASSIGNMENT")


def take_naps(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def take_naps(durations): ...")
    need_free_cpus(2)
    _start_workers(2)
    durations = [0.5, 0.1, 0.3, 0.2]
    with timeline.record() as run:
        values = answer(durations)
    need(values is not None, "it returned None; did you forget the return?")
    need(isinstance(values, list), f"it returned a {type(values).__name__}; a list of the values is wanted.")
    are_refs = any(isinstance(value, ray.ObjectRef) for value in values)
    need(not are_refs, "it returned references; the values are wanted, so one ray.get is missing.")
    need(run.rows, "no task ran; call nap.remote(seconds).")
    need(sorted(values) == sorted(durations), f"it returned {values!r} for {durations!r}; each value once.")
    need(values == durations, f"it returned {values!r} for {durations!r}: the right values, but not in their order.")
    need(run.at_once() != 1, "one nap at a time: something waits for each task before the next is submitted.")
    need({row.cpus for row in run.rows} == {1.0}, "leave nap as it is: it asks for one CPU.")
    need(run.at_once() == 2, f"{run.at_once()} at a time; two were wanted: submit all, then wait once.")
    return "two at a time, and the values in the order of the durations."


def three_states(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def three_states(): ...")
    need_free_cpus(2)
    refs = answer()
    are_refs = isinstance(refs, (tuple, list)) and len(refs) == 3 and all(isinstance(r, ray.ObjectRef) for r in refs)
    need(are_refs, f"it returned {refs!r}; a tuple of three references is wanted.")
    refs = list(refs)
    left = refs
    try:
        states = _states_while_the_first_runs(refs)
        ended, left = ray.wait(refs, num_returns=3, timeout=12)
    finally:
        for ref in left:  # not what has ended or is about to: Ray 2.60 once ended the driver at such a moment
            ray.cancel(ref)
    need(states, "the first had ended before one could look: let it nap for 3 seconds, and do not wait for it.")
    first, second, third = states
    need(first == "RUNNING", f"the first was {first}; it should need nothing but the CPUs that are free.")
    needs_reference = "give it the first's reference as after, not its value."
    need(second == "PENDING_ARGS_AVAIL", f"while the first ran, the second was {second}: {needs_reference}")
    waits_for_both = "the third waits for an argument; it should wait for nothing but a CPU."
    need(third != "PENDING_ARGS_AVAIL", waits_for_both)
    leaves_a_cpu = "the first has to hold every CPU."
    need(third == "PENDING_NODE_ASSIGNMENT", f"while the first ran, the third was {third}: {leaves_a_cpu}")
    never = "not all three ended in time: does one ask for more CPUs than the cluster has?"
    need(len(ended) == 3, never)
    ray.get(ended)
    return "RUNNING, PENDING_ARGS_AVAIL and PENDING_NODE_ASSIGNMENT at the same moment."


def attempt(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def attempt(function): ...")
    need_free_cpus(2)
    notebook = os.getpid()

    def where():
        return os.getpid()

    def find():
        raise KeyError("no such key")

    def connect():
        raise ConnectionError("nobody answers")

    def crash():
        if os.getpid() == notebook:
            raise RuntimeError("this would have ended your notebook")
        os._exit(1)

    pid, count = _outcome(answer, where)
    need(not isinstance(pid, ray.ObjectRef), "the first part is a reference; the value is wanted, so use ray.get.")
    need(isinstance(pid, int), f"for a function that returns a number it gave {pid!r}; the value is wanted.")
    need(pid != notebook, "the function ran in your notebook; make a task of it with ray.remote.")
    need(count == 1, f"a task that returns at once had {count!r} attempts; count the rows of its recording.")

    error, count = _outcome(answer, find)
    need(isinstance(error, KeyError), f"for a KeyError it gave {error!r}; the exception is wanted.")
    need(count == 1, f"a KeyError got {count!r} attempts, not 1: name the exceptions to try again in a list.")

    error, count = _outcome(answer, connect)
    need(isinstance(error, ConnectionError), f"for a ConnectionError it gave {error!r}; the exception is wanted.")
    need(count != 1, "a ConnectionError got one attempt: retry_exceptions says which exceptions are tried again.")
    need(count != 4, "a ConnectionError got 4 attempts: max_retries counts those after the first.")
    need(count == 3, f"a ConnectionError got {count!r} attempts, not 3.")

    error, count = _outcome(answer, crash)
    crashed = isinstance(error, ray.exceptions.WorkerCrashedError)
    need(crashed, f"for a worker that dies it gave {error!r}; a WorkerCrashedError is wanted.")
    need(count == 3, f"a worker that dies got {count!r} attempts, not 3.")
    return "one attempt for a value or a KeyError, three for a ConnectionError or a dead worker."


def _outcome(answer, function) -> tuple:
    try:
        got = answer(function)
    except (KeyError, ConnectionError, ray.exceptions.WorkerCrashedError) as error:
        kind = type(getattr(error, "cause", error)).__name__
        need(False, f"a {kind} came out of it; catch the exception and return it.")
    need(isinstance(got, tuple) and len(got) == 2, f"it returned {got!r}; a tuple (outcome, attempts) is wanted.")
    return got


def _start_workers(count: int) -> None:
    """Wait until so many workers have run a task, so that no answer waits for one to start."""

    def where():
        time.sleep(0.2)
        return os.getpid()

    task = ray.remote(where)
    for _ in range(20):
        if len(set(ray.get([task.remote() for _ in range(count)]))) == count:
            return


def _states_while_the_first_runs(refs: list) -> tuple | None:
    """The states of three tasks that lasted longest until the first had ended; ``None`` if it had ended already."""
    hold_s = 1.5 if cluster.current().attached else 0.8  # longer than Ray takes to report a state
    deadline = time.monotonic() + 8
    looks, held_since = Counter(), None
    while time.monotonic() < deadline and not ray.wait(refs[:1], timeout=0)[0]:
        tasks = [get_task(ref.task_id().hex()) for ref in refs]
        states = tuple(getattr(task, "state", "not reported") for task in tasks)
        looks[states] += "not reported" not in states
        if states != _THREE_STATES:
            held_since = None
        elif held_since is None:
            held_since = time.monotonic()
        elif time.monotonic() - held_since > hold_s:
            return states
        time.sleep(0.05)
    del looks[_THREE_STATES]  # they did not last
    return max(looks, key=looks.get, default=None)


CHECKERS = {"01.1": take_naps, "01.2": three_states, "01.3": attempt}
