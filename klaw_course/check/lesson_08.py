"""Checkers of lesson 08, Building a channel."""

import contextlib
import time

import ray

from klaw_course.check import need
from klaw_course.cluster._ray import is_actor_handle

_WAIT_S = 3  # for an actor that is busy
_SOON_S = 1  # in which comes what must come, when the actor has answered a later call
_QUIET_S = 0.1  # in which what must not come does not, when the actor has answered a later call


def bounded_shelf(answer) -> str:
    with _actor(answer, "BoundedShelf", 2) as shelf:
        return _fill_and_empty(shelf)


def _fill_and_empty(shelf) -> str:
    early = shelf.get.remote()
    need(not _comes([early], shelf), "get of an empty shelf came back at once; it waits for an item.")
    puts = [shelf.put.remote(0)]
    need(_done_soon([early], shelf), "a get that waited was not woken by a put.")
    need(ray.get(early) == 0, f"0 was put, and get gave {ray.get(early)!r}.")
    for number in (1, 2):
        puts.append(shelf.put.remote(number))
        need(_done_soon(puts[-1:], shelf), f"the capacity is 2, but put number {number} waits.")
    puts += [shelf.put.remote(number) for number in (3, 4)]
    need(not _comes(puts[-2:], shelf), "the capacity is 2, and it took more than two items.")
    last = []
    for number in range(4):
        last.append(shelf.get.remote())
        need(_done_soon(last[-1:], shelf), "a get of a full shelf does not come back: who waits holds it up.")
        if number < 2:
            need(_done_soon(puts[-2:], shelf, number + 1), "a put that waited was not woken by a get.")
    got = ray.get([*last, *puts])[:4]
    need(got[:2] == [1, 2] and sorted(got[2:]) == [3, 4], f"1 and 2 were put first, and get gave {got}.")
    waiting = [shelf.get.remote() for _ in range(400)]
    _need_no_polling(shelf, "400 get wait")
    ray.get([shelf.put.remote(0) for _ in waiting] + waiting, timeout=20)
    return "two items at most, in their order, and nobody polls."


def refusing(answer) -> str:
    with _actor(answer, "Refusing", 1) as channel:
        what, got = _answer(channel.put.remote("one"), channel)
        need(what == "value", f"put into an open channel with room {_said(what, got)}; it accepts the item.")
        waiting = channel.put.remote("two")
        need(not _comes([waiting], channel), "the capacity is 1, and a second item was accepted at once.")
        got = _answer(channel.get.remote(), channel)
        need(got == ("value", "one"), f"'one' was put into an open channel, and get {_said(*got)}.")
        what, got = _answer(waiting, channel)
        need(what == "value", f"get made room in an open channel, and a put that waited {_said(what, got)}.")
        waiting = channel.put.remote("three")
        need(not _comes([waiting], channel), "the capacity is 1, and a second item was accepted at once.")
        what, got = _answer(channel.close.remote(), channel)
        need(what == "value", f"close {_said(what, got)}.")
        _need_refused(_answer(waiting, channel), "a put that waited when the channel was closed")
        got = _answer(channel.get.remote(), channel)
        need(got == ("value", "two"), f"'two' was accepted before close, but afterwards get {_said(*got)}.")
        _need_refused(_answer(channel.put.remote("four"), channel), "a put into a closed channel that has room")
        what, got = _answer(channel.get.remote(), channel)
        end = what == "error" and isinstance(got, EOFError)
        need(end, f"nothing is left, and get {_said(what, got)}; EOFError is wanted, as in Closable.")
    return "a closed channel refuses whoever waits and whoever comes, and what was accepted is delivered."


def _need_refused(answer: tuple, who: str) -> None:
    what, got = answer
    refused = what == "error" and isinstance(got, ValueError)
    need(refused, f"{who} {'was accepted' if what == 'value' else _said(what, got)}; ValueError is wanted.")


def latest(answer) -> str:
    with _actor(answer, "Latest") as state:
        early = state.get.remote(0)
        need(not _comes([early], state), "get(0) came back before the first put; it waits for a value.")
        _need_put(state, "a")
        _need_newest(_answer(early, state), (1, "a"), "a get(0) that waited for the first value")
        _need_newest(_answer(state.get.remote(0), state), (1, "a"), "a second get(0), for get takes nothing away,")
        viewers = [state.get.remote(1) for _ in range(2)]
        need(not _comes(viewers, state), "get(1) came back, though nothing is newer than number 1; it waits.")
        _need_put(state, None)
        for viewer in viewers:
            _need_newest(_answer(viewer, state), (2, None), "after put(None) a get(1) that waited")
        for value in "cde":
            _need_put(state, value)
        _need_newest(_answer(state.get.remote(2), state), (5, "e"), "after five values get(2)")
        viewers = [state.get.remote(5) for _ in range(400)]
        _need_no_polling(state, "400 get wait")
        what, got = _answer(state.close.remote(), state)
        need(what == "value", f"close {_said(what, got)}.")
        for viewer in (viewers[0], viewers[-1]):
            _need_end(_answer(viewer, state), "a get(5) that waited when the stream was closed")
        _need_newest(_answer(state.get.remote(4), state), (5, "e"), "after close get(4), which has not seen number 5,")
        _need_end(_answer(state.get.remote(5), state), "after close get(5)")
    return "the newest value for each viewer, no put waits, nobody polls, and all learn of the end."


def _need_put(state, value) -> None:
    what, got = _answer(state.put.remote(value), state)
    need(what == "value", f"put({value!r}) {_said(what, got)}; put never waits, whoever waits in get.")


def _need_newest(answer: tuple, wanted: tuple, who: str) -> None:
    what, got = answer
    is_pair = isinstance(got, (tuple, list)) and len(got) == 2
    right = what == "value" and is_pair and tuple(got) == wanted
    need(right, f"{who} {_said(what, got)}; {wanted!r} is wanted.")


def _need_end(answer: tuple, who: str) -> None:
    what, got = answer
    need(what == "error" and isinstance(got, EOFError), f"{who} {_said(what, got)}; EOFError is wanted.")


# --- an answer's actor ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _actor(answer, name: str, *arguments):
    """An actor of the answer's class, which has begun; it is killed afterwards."""
    need(not is_actor_handle(answer), "that is an actor already; give the class.")
    is_actor = isinstance(answer, ray.actor.ActorClass)
    need(is_actor or isinstance(answer, type), f"a class is wanted, and this is {answer!r}.")
    call = f"{name}({', '.join(map(str, arguments))})"
    make = (answer if is_actor else ray.remote(answer)).options(num_cpus=0)
    try:
        actor = make.remote(*arguments)
    except TypeError as error:
        need(False, f"{call} cannot be made: {error}.")
    try:
        try:
            ray.get(actor.__ray_ready__.remote(), timeout=20)
        except ray.exceptions.RayActorError as error:
            need(False, f"{call} cannot be made: {_last_line(error)}")
        yield actor
    finally:
        ray.kill(actor)


def _answer(call, actor) -> tuple[str, object]:
    """What a call that should be answered gave: ("value", it), ("error", what was raised) or ("waits", None)."""
    if not _is_done_soon([call], actor):
        return "waits", None
    try:
        return "value", ray.get(call)
    except ray.exceptions.RayTaskError as error:
        return "error", error.cause
    except ray.exceptions.RayActorError as error:
        return "error", error


def _said(what: str, got: object) -> str:
    """An answer as a part of a sentence: "put still waits"."""
    if what == "error":
        return f"raised {type(got).__name__}: {_last_line(got)}"
    return "still waits" if what == "waits" else f"gave {got!r:.60}"


def _comes(calls: list, actor) -> bool:
    """Whether one of the calls, which must wait, is done when the actor has answered a later one; none may raise."""
    ray.wait([actor.__ray_call__.remote(_nothing)], timeout=_SOON_S)  # never answered by one that is held up
    done, _ = ray.wait(calls, timeout=_QUIET_S)
    return any(_done(call) for call in done)


def _is_done_soon(calls: list, actor, count: int = 1) -> bool:
    """Whether so many of the calls are done soon after the actor, however busy, has answered a later one."""
    done, _ = ray.wait(calls, num_returns=count, timeout=_QUIET_S)
    if len(done) < count:
        ray.wait([actor.__ray_call__.remote(_nothing)], timeout=_WAIT_S)
        done, _ = ray.wait(calls, num_returns=count, timeout=_SOON_S)
    return len(done) == count


def _done_soon(calls: list, actor, count: int = 1) -> bool:
    """The same, and none of them may raise."""
    done = _is_done_soon(calls, actor, count)
    return sum(_done(call) for call in calls) >= count and done


def _nothing(self) -> None:
    return None


def _done(call) -> bool:
    done, _ = ray.wait([call], timeout=0)
    if done:
        try:
            ray.get(call)
        except ray.exceptions.RayTaskError as error:
            need(False, f"put or get raised {_last_line(error)}")
        except ray.exceptions.RayActorError as error:
            need(False, f"the actor died: {_last_line(error)}")
    return bool(done)


def _need_no_polling(actor, while_what: str) -> None:
    """Four hundred that poll every 10 ms use 0.17 s of CPU time a second, and those that sleep 0.01 s."""

    def used(self):
        return time.process_time()

    busy = 1.0
    for _ in range(3):  # it may have had to tell Ray of its calls just then
        if busy >= 0.05:
            before = ray.get(actor.__ray_call__.remote(used), timeout=20)
            time.sleep(0.5)
            busy = 2 * (ray.get(actor.__ray_call__.remote(used), timeout=20) - before)
    need(busy < 0.05, f"while {while_what}, it uses {busy:.2f} s of CPU time a second: it looks again and again.")


def _last_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


CHECKERS = {"08.1": bounded_shelf, "08.2": refusing, "08.3": latest}
