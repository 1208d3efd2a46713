"""Checkers of lesson 04, Actors."""

import contextlib
import random
import shutil
from itertools import pairwise
from pathlib import Path

import ray
from ray.util.state import get_actor

from klaw_course.check import need
from klaw_course.check.needs import first_result
from klaw_course.cluster._ray import actor_id, is_actor_handle
from klaw_course.notebook import new_folder
from klaw_course.observe import timeline
from klaw_course.wait import wait_until


def ten_at_once(answer) -> str:
    is_list = isinstance(answer, (list, tuple)) and all(is_actor_handle(part) for part in answer)
    need(not (is_list and answer), "several actors are several processes; one is enough.")
    need(not isinstance(answer, ray.actor.ActorClass), "that is a class still: .remote() makes the actor.")
    _need_handle(answer)
    first_result(answer.fetch.remote())
    with timeline.record() as run:
        _, late = ray.wait([answer.fetch.remote() for _ in range(10)], num_returns=10, timeout=15)
    need(not late, f"{len(late)} of ten calls were not done after 15 s.")
    need(run.at_once() != 1, "one after another: this actor takes one call at a time.")
    need(run.at_once() == 10, f"{run.at_once()} at once; ten were wanted.")
    return "ten calls at once in one process, since a sleeping thread lets the others run."


def one_for_all(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def get_counter(): ...")
    handles = []
    try:
        handles = [_need_handle(answer())]
        before = ray.get(handles[0].add.remote(2), timeout=20)
        try:
            handles.append(_need_handle(answer()))
        except ray.exceptions.ActorAlreadyExistsError:
            need(False, "the second call failed, since the name is taken: get the one that is there.")
        after = ray.get(handles[1].add.remote(0), timeout=20)
        need(after == before, f"after {before} the second caller found {after}: it is not the same actor.")
        entry = get_actor(actor_id(handles[0]))
        need(entry.name == "counter", f"its name is {entry.name!r}; 'counter' is wanted.")
        space = entry.ray_namespace
        need(space == "shop", f"its namespace is {space!r}, which other drivers do not know; 'shop' is wanted.")
        need(entry.is_detached, "it ends with the driver that made it first; say how long it lives.")
    finally:
        for handle in handles:
            ray.kill(handle)
            gone = actor_id(handle)
            wait_until(lambda gone=gone: get_actor(gone).state == "DEAD", "the actor to end")
    return "one detached actor, however often and from wherever it is asked for."


def survivor(answer) -> str:
    """Check 04.3. The file must be on this machine: on a cluster of several the answer has to keep its actor here."""
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def make_store(path): ...")
    folder, store = new_folder(), None
    try:
        store = _need_handle(answer(folder / "store"))
        return _torment(store, folder / "store")
    finally:
        if is_actor_handle(store):
            with contextlib.suppress(ValueError):
                ray.kill(store)
        shutil.rmtree(folder, ignore_errors=True)


def _torment(store, path: Path) -> str:
    pause = random.Random(3)
    inodes, kills = [], 0
    wanted = {}
    for number in range(12):
        key, value = f"key {number % 5}", f"value {number}"
        put = store.put.remote(key, value)
        in_flight = number in (4, 8)  # the put that waits when its actor dies
        if not in_flight:
            _result(put, "put")
            need(path.is_file(), f"after a put there is no file {path.name!r}; keep it all in the file `path`.")
            inodes.append(path.stat().st_ino)
        else:
            inodes.append(-number)  # it may have been written twice, and a number is free again after two renames
        kill = in_flight or pause.random() < 0.1
        if kill:
            ray.kill(store, no_restart=False)
            kills += 1
        if in_flight:
            _result(put, "put")
        wanted[key] = value
        restarted = False
        while not restarted:  # a kill may come late: it must hit somebody who asks
            got, after = _result(store.get.remote(key), "get"), f"put({key!r}, {value!r}) and {kills} kills"
            need(got == value, f"get({key!r}) gave {got!r} after {after}.")
            restarted = not kill or get_actor(actor_id(store)).num_restarts >= kills
    for key, value in wanted.items():
        got = _result(store.get.remote(key), "get")
        need(got == value, f"get({key!r}) gave {got!r}; {value!r} was put, and lost in one of {kills} kills.")
    rewritten = any(before == after for before, after in pairwise(inodes))
    need(
        not rewritten,
        "the file was written in place: a kill in the middle leaves half of it. Write aside, then rename.",
    )
    return f"12 puts and {kills} kills, two of them with a call waiting: no call failed, nothing was lost."


def _result(ref, what: str):
    try:
        return ray.get(ref, timeout=30)
    except ray.exceptions.ActorDiedError as error:
        # A kill in the middle of a write, and the next process could not read what it found.
        hint = "was the file written in place? A kill in the middle leaves half of it. Write aside, then rename."
        need("creation task" not in str(error), f"{what}: after a kill the constructor raised an error; {hint}")
        need(False, f"{what} gave ActorDiedError: the process was killed and did not come back.")
    except ray.exceptions.ActorUnavailableError:
        need(False, f"{what} gave ActorUnavailableError: the process came back, but the call was not sent again.")
    except ray.exceptions.RayTaskError as error:
        cause = f"{type(error.cause).__name__}: {error.cause}"
        need(False, f"{what} raised {cause}; if the value was put before, it was lost when the actor was killed.")


def _need_handle(answer):
    need(is_actor_handle(answer), f"an actor is wanted, and this is {answer!r}.")
    return answer


CHECKERS = {"04.1": ten_at_once, "04.2": one_for_all, "04.3": survivor}
