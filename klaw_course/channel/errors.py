"""What a channel raises. The classes are known by the name under which programs import them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import ray

PAUSES_S = (0.05, 1.0)  # before a call that could not be made is made again: the first time, and at most


class ChannelError(Exception):
    """What all errors of a channel have in common."""

    __module__ = "klaw_course.channel"


class EndClosed(ChannelError):
    """This sender or receiver was closed, here, in this process."""

    __module__ = "klaw_course.channel"


class ChannelClosed(ChannelError):
    """Sending is refused: the channel is closed, or nobody is left who would receive. The item was not sent."""

    __module__ = "klaw_course.channel"


class ChannelEnded(ChannelError):
    """Nothing more comes: the channel is closed, and all was received. The only one that ends an iteration."""

    __module__ = "klaw_course.channel"


class ChannelBroken(ChannelError):
    """The channel's actor died, and with it what the channel held; or it lost this sender or receiver."""

    __module__ = "klaw_course.channel"


def copy_of(error: ChannelError) -> ChannelError:
    """Make an error to be raised, or kept: one that was raised keeps the frames it went through, with their items."""
    return type(error)(*error.args)


FAILURES = (ChannelError, ray.exceptions.RayError)  # for instance, the store and its disk are full


def broken(error: Exception) -> ChannelError:
    """Make the error to be raised for one of Ray."""
    if isinstance(error, ChannelError):
        return error
    if isinstance(error, ray.exceptions.RayActorError):
        return ChannelBroken(f"The channel's actor died, with what it held: {type(error).__name__}.")
    return ChannelBroken(f"The channel failed: {str(error).strip().splitlines()[-1]}")


def answer_of(call: Callable[[], ray.ObjectRef], timeout: float | None = None) -> object:
    """Make a call of the channel's actor, again if it is not known whether it arrived, and return what it gave.

    Raises:
        ChannelBroken: the actor died.
        TimeoutError: it did not answer in time.
    """
    deadline, pause = None if timeout is None else time.monotonic() + timeout, PAUSES_S[0]
    while True:
        try:
            return ray.get(call(), timeout=deadline and max(0, deadline - time.monotonic()))
        except ray.exceptions.GetTimeoutError:
            raise TimeoutError(f"The channel did not answer for {timeout:g} s.") from None
        except ray.exceptions.ActorUnavailableError:
            time.sleep(pause)
            pause = min(2 * pause, PAUSES_S[1])
        except ray.exceptions.RayActorError as error:
            raise broken(error) from None


async def ask(call: Callable[[], ray.ObjectRef]) -> object:
    """Do what ``answer_of`` does, in a coroutine.

    Raises:
        ChannelBroken: the actor died, or failed, or there is no Ray any more.
    """
    pause = PAUSES_S[0]
    while ray.is_initialized():  # else the call would start a Ray
        try:
            return await call()
        except (ray.exceptions.ActorUnavailableError, ray.exceptions.TaskCancelledError):
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSES_S[1])
        except ray.exceptions.RayError as error:
            raise broken(error) from None
    raise ChannelBroken("Ray was shut down.")
