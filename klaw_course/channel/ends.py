"""What the two ends of a channel, ``Sender`` and ``Receiver``, have in common: to be there, to wait, to be closed."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
import uuid
import weakref
from collections import deque
from concurrent import futures
from typing import TYPE_CHECKING

import ray

from klaw_course.channel.errors import ChannelBroken, ChannelError, ask, broken, copy_of
from klaw_course.channel.loop import soon, start
from klaw_course.cluster._ray import is_worker

if TYPE_CHECKING:
    from klaw_course.channel import Channel

LATE = (TimeoutError, asyncio.TimeoutError, futures.TimeoutError)  # one class from Python 3.11 on
SLICE_S = 0.5  # for which a main thread waits at a time


class Waiter:
    """Somebody who waits for a credit or an item.

    Attributes:
        size: bytes of the item that it wants to send.
        trial: it takes what there is now, and else is told that there is nothing.
        asked: the number of the call whose answer decides on a trial, when it was made.
        given: it has got it, so that it must give it back if it does not take it.
    """

    def __init__(self, size: int = 0, trial: bool = False):
        self.size, self.trial, self.asked, self.given, self._future = size, trial, None, False, futures.Future()
        self._future.set_running_or_notify_cancel()  # so that it cannot be cancelled, and always gets its result

    def give(self, value: object) -> None:
        self.given = True
        self._future.set_result(value)

    def tell(self, value: object) -> None:
        self._future.set_result(value)

    def deny(self, error: ChannelError) -> None:
        self._future.set_result(error)

    def done(self) -> bool:
        return self._future.done()

    def result(self, timeout: float | None = 0) -> object:
        value = self._future.result(timeout)
        if isinstance(value, ChannelError):
            raise copy_of(value)
        return value

    async def wait(self, timeout: float | None) -> object:
        await asyncio.wait_for(asyncio.wrap_future(self._future), timeout)
        return self.result()


class End:
    """An end, in the process that uses it.

    Its lock is held for moments, to look and to change; never while something is waited for. All calls of the actor are
    made in the loop of ``loop.py``, by ``_pump``, which is called there when something has changed.
    """

    kind = ""

    def __init__(self, channel: Channel, options: dict):
        self._channel, self._actor, self._id = channel, channel._actor, uuid.uuid4().hex
        self._lock, self._waiters = threading.Lock(), deque()
        self._joined = self._pump_due = self._left = False
        self._why: ChannelError | None = None  # for which nobody gets anything any more
        self._calls: set[ray.ObjectRef] = set()  # when one of them is answered, somebody may get something
        self._numbers = 0  # of calls
        soon(start, _stay(weakref.ref(self), self._actor, self._id, self.kind, options))

    def __del__(self) -> None:
        if not getattr(self, "_left", True) and not sys.is_finalizing():
            soon(start, leave(self._actor, self._id, self._untold()))

    def _untold(self) -> list:
        return []

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_) -> None:
        self.close()

    # --- waiting ------------------------------------------------------------------------------------------------------

    def _wait(self, waiter: Waiter, timeout: float | None):
        """Wait in a thread. A main one looks for an interruption now and then, for not every one wakes it.

        That of a task waits in Ray, which gives the task's CPU back, and lets ``ray.cancel`` through.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            main = threading.current_thread() is threading.main_thread()
            while main and not waiter.done():
                left = SLICE_S if deadline is None else min(SLICE_S, deadline - time.monotonic())
                if left <= 0:
                    break
                calls = list(self._calls) if _in_task() else []
                if calls:
                    ray.wait(calls, timeout=left, fetch_local=False)
                _try_result(waiter, min(left, 0.01) if calls else left)
            return waiter.result(None if deadline is None else max(0, deadline - time.monotonic()))
        except BaseException as error:
            raise self._abandoned(waiter, timeout, error) from None

    async def _wait_async(self, waiter: Waiter, timeout: float | None):
        try:
            return await waiter.wait(timeout)
        except BaseException as error:
            raise self._abandoned(waiter, timeout, error) from None

    def _abandoned(self, waiter: Waiter, timeout: float | None, error: BaseException) -> BaseException:
        """Give back what the waiter may have got meanwhile; the error to be raised."""
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif waiter.given:
                self._take_back(waiter)
        self._changed()
        return TimeoutError(self._late(timeout)) if isinstance(error, LATE) and timeout is not None else error

    def _take_back(self, waiter: Waiter) -> None:
        raise NotImplementedError

    def _late(self, timeout: float) -> str:
        raise NotImplementedError

    def _deny_all(self, why: ChannelError) -> None:
        """Let all who wait get this error. Called with the lock."""
        while self._waiters:
            self._waiters.popleft().deny(why)

    # --- in the loop --------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        """See to it that ``_pump`` is called soon."""
        if not self._pump_due:
            self._pump_due = True
            soon(self._pump)

    def _pump(self) -> None:
        raise NotImplementedError

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers - 1

    async def _tell_channel(self, call) -> None:
        with contextlib.suppress(ChannelBroken):  # whoever waits for an answer is told so
            await ask(call)

    async def _withdraw(self, number: int) -> None:
        await self._tell_channel(lambda: self._actor.withdraw.remote(self._id, number))

    def _on_join(self) -> None:
        self._joined = True
        self._changed()

    def _break(self, error: ChannelError) -> None:
        with self._lock:
            self._why = self._why or copy_of(error)
            self._deny_all(self._why)

    def _refuse_if_over(self) -> None:
        if self._why is not None:
            raise copy_of(self._why)


def _in_task() -> bool:
    """Tell whether this process works for a task, not for a driver or an actor."""
    return is_worker() and ray.get_runtime_context().get_actor_id() is None


def _try_result(waiter: Waiter, timeout: float) -> None:
    try:
        waiter.result(timeout)
    except Exception:  # it is late, or an error, which the caller finds
        return


async def call_for(end: weakref.ref, call) -> object:
    """``ask``, with the end's waiters waiting for the answer. Does not keep the end alive."""
    refs = []

    def noted():
        refs.append(call())
        if living := end():
            living._calls.add(refs[-1])
        return refs[-1]

    try:
        return await ask(noted)
    finally:
        if living := end():
            living._calls.difference_update(refs)


async def _stay(end: weakref.ref, actor, who: str, kind: str, options: dict) -> None:
    """Be present until the end leaves, or this process dies. Does not keep the end alive."""
    while True:
        try:
            staying = actor.stay.remote(who)
            if await call_for(end, lambda: actor.join.remote(who, kind, options, [staying])):  # noqa: B023
                if living := end():
                    living._on_join()
                    del living
                await staying
                return
        except (ray.exceptions.ActorUnavailableError, ray.exceptions.TaskCancelledError):
            await asyncio.sleep(0.05)  # once more: this process is here
        except (ChannelBroken, ray.exceptions.RayError) as error:
            if living := end():
                living._break(error if isinstance(error, ChannelBroken) else broken(error))
            return


async def leave(actor, who: str, taken: list) -> None:
    if ray.is_initialized():
        try:
            await ask(lambda: actor.leave.remote(who, False, taken))
        except ChannelBroken:
            return
