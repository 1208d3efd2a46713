"""Wait for an event, never for a time: until a condition holds, or until somebody opens a gate."""

from __future__ import annotations

import asyncio
import time


def wait_until(condition, what: str, timeout_s: float = 30.0, every_s: float = 0.05):
    """Call ``condition()`` until it is true, and return what it gave.

    Args:
        condition: a function without arguments.
        what: completes the sentence "waited for ...".
        timeout_s: seconds after which to give up.
        every_s: seconds between two calls.

    Raises:
        TimeoutError: it was not true in time.
    """
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {timeout_s:g} s for {what}, in vain; run the cell again, or look at the logs.")
        time.sleep(every_s)
    return value


class Gate:
    """Hold tasks and actors, on whatever node they run, until ``open()``. Pass the gate to them as an argument.

    A file would do on one machine only. The gate is an actor without a CPU of its own; it ends with its last handle.
    A task that waits for it gives its CPU back meanwhile, as in every ``ray.get``; an actor keeps its CPU.
    """

    def __init__(self):
        import ray

        self._actor = ray.remote(num_cpus=0, max_concurrency=1000)(_Gate).remote()

    def wait(self, timeout_s: float = 30.0) -> None:
        """Wait until the gate is open.

        Raises:
            ray.exceptions.GetTimeoutError: nobody opened it within ``timeout_s`` seconds.
        """
        import ray

        ray.get(self._actor.wait.remote(), timeout=timeout_s)

    def open(self) -> None:
        """Let all that wait go on, and all that come later. Opening twice does no harm."""
        import ray

        ray.get(self._actor.open.remote())

    def close(self) -> None:
        """Let those who come from now on wait, until it is opened again."""
        import ray

        ray.get(self._actor.close.remote())

    def is_open(self) -> bool:
        """Tell whether the gate is open."""
        import ray

        return ray.get(self._actor.is_open.remote())

    def waiting(self) -> int:
        """Count those who wait at the moment."""
        import ray

        return ray.get(self._actor.waiting.remote())


class _Gate:
    def __init__(self):
        self._opened, self._waiting = asyncio.Event(), 0

    async def wait(self):
        self._waiting += 1
        try:
            await self._opened.wait()
        finally:
            self._waiting -= 1

    async def open(self):
        self._opened.set()

    async def close(self):
        self._opened.clear()

    async def is_open(self):
        return self._opened.is_set()

    async def waiting(self):
        return self._waiting
