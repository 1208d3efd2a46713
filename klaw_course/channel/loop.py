"""A thread for each process, with an event loop in which the ends of its channels make their calls.

However many wait, it is one thread. And a call that is made there belongs to no task: ``ray.cancel``, which cancels
also what a task has called, does not reach it.
"""

from __future__ import annotations

import asyncio
import os
import threading

_lock, _of_process = threading.Lock(), {}


def loop() -> asyncio.AbstractEventLoop:
    """Give this process's loop; it is started when it is first needed."""
    found = _of_process.get(os.getpid())
    if found is None:
        with _lock:
            found = _of_process.get(os.getpid())
            if found is None:
                found = asyncio.new_event_loop()
                threading.Thread(target=found.run_forever, name="channels", daemon=True).start()
                _of_process[os.getpid()] = found
    return found


def soon(function, *args) -> None:
    """Call a function in the loop. Waits for nothing."""
    loop().call_soon_threadsafe(function, *args)


def later(seconds: float, function, *args) -> None:
    """Call a function in the loop after some time. To be called in the loop only."""
    loop().call_later(seconds, function, *args)


_running: set[asyncio.Task] = set()


def start(coroutine) -> None:
    """Run a coroutine in the loop, and keep it until it is done. To be called in the loop only."""
    task = asyncio.ensure_future(coroutine)
    _running.add(task)
    task.add_done_callback(_running.discard)
