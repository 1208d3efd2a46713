"""An item in hand, which comes again if the work on it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klaw_course.channel.loop import soon, start

if TYPE_CHECKING:
    from klaw_course.channel.receiver import Receiver


class Lease:
    """An item that is acknowledged at the end of a ``with``; see ``Receiver.lease``."""

    def __init__(self, receiver: Receiver, timeout: float | None):
        self._receiver, self._timeout, self._position = receiver, timeout, None

    def __enter__(self) -> object:
        self._position, item = self._receiver._receive(self._timeout)
        self._opened()
        return item

    def _opened(self) -> None:
        with self._receiver._lock:
            self._receiver._opened()

    def __exit__(self, kind, error, trace) -> None:
        taken, back = ([self._position], []) if kind is None else ([], [self._position])
        with self._receiver._lock:
            self._receiver._unsure.update(taken)
        soon(start, self._receiver._settle(taken, back))

    async def __aenter__(self) -> object:
        self._position, item = await self._receiver._receive_async(self._timeout)
        self._opened()
        return item

    async def __aexit__(self, *error) -> None:
        self.__exit__(*error)
