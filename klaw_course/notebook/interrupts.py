"""A cell that was interrupted can be run again: what its calls held at that moment is let go."""

from __future__ import annotations

import gc
import sys


def install(shell) -> None:
    """Forget an interrupt when the next cell begins. Safe to repeat.

    Args:
        shell: IPython's.
    """
    remove(shell)
    shell.events.register("pre_run_cell", _forget)


def remove(shell) -> None:
    """Put the shell back as it was. Safe to repeat."""
    if _forget in shell.events.callbacks["pre_run_cell"]:
        shell.events.unregister("pre_run_cell", _forget)


def _forget(_info=None) -> None:
    """Drop the frames of the last failure, which Python and IPython keep for %debug, if it was an interrupt.

    In them are handles and references: the actors would keep their CPUs while the cell that made them runs again.
    """
    last = getattr(sys, "last_value", None)
    if isinstance(last, KeyboardInterrupt):
        last.__traceback__ = sys.last_traceback = sys.modules["IPython"].get_ipython().InteractiveTB.tb = None
        gc.collect()  # what formatted the traceback may be a circle that holds the frames, too
