"""What a channel raises. Both classes are known by the name under which programs import them."""

from __future__ import annotations

import ray


class ChannelClosed(Exception):
    """Nothing more can be sent, or all has been received."""

    __module__ = "klaw_course.channel"


class ChannelBroken(Exception):
    """The channel's actor died, and with it what the channel held."""

    __module__ = "klaw_course.channel"


def answer_of(call: ray.ObjectRef) -> object:
    """Wait for a call of the channel's actor and return what it gave; raise ``ChannelBroken`` if the actor died."""
    try:
        return ray.get(call)
    except ray.exceptions.RayActorError as error:
        raise ChannelBroken(f"The channel's actor died, with what it held: {type(error).__name__}.") from None
