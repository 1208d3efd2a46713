"""Checkers of lesson 11, Fault tolerance."""

import os
import time

import numpy as np
import ray
from ray.util.state import list_objects

from klaw_course.check import need
from klaw_course.check.needs import need_free_cpus
from klaw_course.observe import timeline

_KINDS = ("value", "error", "death")


def outcome(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def outcome(ref): ...")
    need_free_cpus()
    no_cpu = ray.remote(num_cpus=0, max_retries=0)
    _expect(answer, no_cpu(lambda: 7).remote(), "value", "a task that returned 7", 7)
    _expect(answer, no_cpu(lambda: None).remote(), "value", "a task that returned None", None)
    error = _expect(answer, no_cpu(_find).remote(), "error", "a task that raised a KeyError")
    is_wrapped = isinstance(error, ray.exceptions.RayTaskError)
    need(
        not is_wrapped, "for a task that raised a KeyError you gave Ray's RayTaskError; its .cause is what was raised."
    )
    need(type(error) is KeyError, f"for a task that raised a KeyError you gave {error!r}; give the KeyError.")
    _expect(answer, no_cpu(_die).remote(), "death", "a task whose worker died")
    actor = ray.remote(num_cpus=0)(_Mortal).remote()
    _expect(answer, actor.die.remote(), "death", "a call whose actor died while it ran")
    _expect(answer, actor.live.remote(), "death", "a call to an actor that was dead already")
    error = _expect(answer, no_cpu(_raise_odd).remote(), "error", "a task that raised an exception of its own class")
    need(isinstance(error, _Odd), f"for a task that raised an exception of its own class you gave {error!r}.")
    return "values, errors of the code, and deaths of a worker or an actor are told apart."


def _expect(answer, ref, kind: str, what: str, value: object = ...) -> object:
    """Ask the answer about a reference; return the second part of what it gave."""
    try:
        got = answer(ref)
    except BaseException as error:
        name = type(error).__name__
        need(False, f"for {what} a {name} came out of your function; catch it.")
    shape = isinstance(got, tuple) and len(got) == 2
    need(shape, f"for {what} it returned {got!r:.80}; a tuple of two parts is wanted.")
    need(got[0] == kind, f"for {what} the first part is {got[0]!r:.40}; {kind!r} is wanted.")
    if value is not ...:
        need(got[1] == value, f"for {what} the second part is {got[1]!r:.60}; {value!r} is wanted.")
    if kind == "death":
        need(
            isinstance(got[1], ray.exceptions.RayError),
            f"for {what} the second part is {got[1]!r:.60}; give the error.",
        )
    return got[1]


class _Odd(Exception):
    pass


def _find():
    raise KeyError("no such key")


def _raise_odd():
    raise _Odd("odd")


def _die():
    os._exit(1)


class _Mortal:
    def live(self):
        return os.getpid()

    def die(self):
        os._exit(1)


def pieces(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def pieces(array, parts): ...")
    need_free_cpus()
    array = np.arange(900_000)
    with timeline.record() as run:
        refs = answer(array, 3)
        need(refs is not None, "it returned None; did you forget the return?")
        need(not isinstance(refs, ray.ObjectRef), "it returned one reference; a list with one for each part is wanted.")
        need(isinstance(refs, list), f"it returned a {type(refs).__name__}; a list of references is wanted.")
        others = [type(ref).__name__ for ref in refs if not isinstance(ref, ray.ObjectRef)]
        need(not others, f"the list holds a {', '.join(others[:1])}, which is a value; references are wanted.")
        need(len(refs) == 3, f"it returned {len(refs)} references for 3 parts.")
        blocks = ray.get(refs, timeout=30)
    for block in blocks:
        need(
            isinstance(block, np.ndarray),
            f"a reference leads to a {type(block).__name__}; a part of the array is wanted.",
        )
    sizes = [block.size for block in blocks]
    need(sizes == [300_000] * 3, f"the parts have {sizes} numbers; np.array_split makes three of 300,000.")
    whole = np.concatenate(blocks)
    need((whole == array).all(), "the parts together are not the array; are they in their order?")
    in_task = [row for row in run.rows if row.kind == "task"]
    need(in_task, "no task ran: the array was cut in the notebook. The cutting should stay in a task.")
    owned = sum(_is_owned_here(ref) for ref in refs)
    lost = "if the worker that cut dies, they are lost. Who called .remote() or ray.put for them?"
    need(owned == 3, f"{3 - owned} of 3 parts are owned by another process: {lost}")
    return "cut in a task, and this process owns every part."


def _is_owned_here(ref) -> bool:
    """Only the owner's row tells the state of the task that made an object; a borrower's says NIL."""
    rows = list_objects(filters=[("object_id", "=", ref.hex())], detail=True, raise_on_missing_output=False)
    return any(row.type == "DRIVER" and row.task_status not in (None, "NIL") for row in rows)


def pool(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def run(actors, items): ...")
    need_free_cpus()
    log = ray.remote(num_cpus=0)(_Log).remote()
    try:
        _healthy(answer, log)
        _with_a_death(answer, log)
        _dead_already(answer, log)
    finally:
        ray.kill(log)
    return "every item has its result, and a member that dies costs its own calls only."


def _healthy(answer, log) -> None:
    items = [5, 3, 8, 1, 9, 2]
    members = [_member(log, name) for name in "ab"]
    results = _results(answer, members, items)
    need(results == [10, 6, 16, 2, 18, 4], f"for {items} it returned {results!r:.80}; twice each, in their order.")
    ran = ray.get(log.take.remote())
    need(len(ran) == len(items), f"without a death {len(items)} items made {len(ran)} calls; one for each is wanted.")
    used = {name for name, *_ in ran}
    need(len(used) == 2, f"only the actor {', '.join(used)} worked; use all of them.")
    most = max(sum(begin < at < end for _, _, begin, end in ran) for _, _, at, _ in ran)
    need(most > 0, "one call at a time: submit the calls of both actors before you wait.")


def _with_a_death(answer, log) -> None:
    items = [4, 1, 7, 6, 3, 8]
    members = [_member(log, "a"), _member(log, "b", dies_at=2), _member(log, "c")]
    results = _results(answer, members, items, " while one of three actors dies")
    wanted = [2 * item for item in items]
    missing = isinstance(results, list) and len(results) != len(items)
    need(not missing, f"one of three actors died, and {len(results)} results came for {len(items)} items.")
    need(results == wanted, f"one of three actors died, and for {items} it returned {results!r:.100}.")
    ran = ray.get(log.take.remote())
    twice = len(ran) - len({item for _, item, *_ in ran})
    need(twice == 0, f"one of three actors died, and {twice} items that had their result ran again.")


def _dead_already(answer, log) -> None:
    members = [_member(log, "a", dies_at=1), _member(log, "b")]
    ray.wait([members[0].work.remote(0)])  # it dies
    items = list(range(1, 8))
    results = _results(answer, members, items, " with an actor that was dead before")
    wanted = [2 * item for item in items]
    need(results == wanted, f"with an actor that was dead before, for {items} it returned {results!r:.100}.")


def _results(answer, members: list, items: list, when: str = "") -> object:
    try:
        results = answer(members, items)
    except ray.exceptions.RayActorError as error:
        need(False, f"{type(error).__name__} came out of it{when}: one death must not end the whole run.")
    finally:
        for member in members:
            ray.kill(member)
    need(results is not None, "it returned None; did you forget the return?")
    is_list = isinstance(results, list)
    need(is_list, f"it returned a {type(results).__name__}; a list of results is wanted.")
    are_refs = any(isinstance(result, ray.ObjectRef) for result in results)
    need(not are_refs, "it returned references; the results are wanted.")
    return results


def _member(log, name: str, dies_at: int = 0):
    member = ray.remote(num_cpus=0)(_Member).remote(log, name, dies_at)
    ray.get(member.ready.remote(), timeout=30)
    return member


class _Log:
    """Which calls ended, and when; it outlives the members."""

    def __init__(self):
        self.rows = []

    def add(self, *row):
        self.rows.append(row)

    def take(self):
        rows, self.rows = self.rows, []
        return rows


class _Member:
    def __init__(self, log, name, dies_at):
        self.log, self.name, self.dies_at, self.calls = log, name, dies_at, 0

    def ready(self):
        pass

    def work(self, item):
        self.calls += 1
        if self.calls == self.dies_at:
            time.sleep(0.1)  # the reply of the call before is under way
            os._exit(1)
        began = time.time()
        time.sleep(0.1)
        ray.get(self.log.add.remote(self.name, item, began, time.time()))
        return 2 * item


CHECKERS = {"11.1": outcome, "11.2": pieces, "11.3": pool}
