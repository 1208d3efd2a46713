"""A claim of a lesson that fails in a learner's kernel says so in words. The cell still counts as failed."""

from __future__ import annotations

import ast
import linecache
import platform
import sys
import textwrap
from types import TracebackType

_put_back: tuple | None = None  # the exceptions and the handler that were there before, and ours


def install() -> None:
    """Let every ``assert`` that fails in a cell speak. Safe to repeat; outside IPython it does nothing."""
    global _put_back
    shell = _shell()
    if shell is None or _is_installed(shell):
        return
    before = shell.custom_exceptions, shell.CustomTB
    shell.set_custom_exc((AssertionError,), _handle)
    _put_back = (*before, shell.CustomTB)


def remove() -> None:
    """Put back what was there before. Safe to repeat; outside IPython it does nothing."""
    global _put_back
    shell = _shell()
    if shell is not None and _is_installed(shell):
        shell.custom_exceptions, shell.CustomTB, _ = _put_back
    _put_back = None


def explain(claim: str, message: str, ray_version: str | None = None) -> str:
    """Say to a learner that a claim did not hold, and what to do.

    Args:
        claim: the condition, as the cell has it.
        message: the message of the ``assert``; may be empty.
        ray_version: the version of Ray that runs, if any.

    Returns:
        A few lines of text.
    """
    versions = f"Python {platform.python_version()}" + (f", Ray {ray_version}" if ray_version else "")
    advice = (
        "Your run differed from what the lesson says. A busy machine can do that, or another cluster or version (here: "
        f"{versions}). Run the cell again, or go on with the next one."
    )
    lines = ["This claim did not hold in your run:", "", textwrap.indent(claim, "    ")]
    lines += [textwrap.indent(textwrap.fill(message, 76), "    -> ", lambda line: line is not None)] if message else []
    return "\n".join([*lines, "", *textwrap.wrap(advice, 80)])


def _handle(shell, etype: type, value: BaseException, tb: TracebackType, tb_offset: int | None = None) -> list[str]:
    """Show an ``AssertionError`` that ended a cell (called by IPython, which catches it in place of the usual way)."""
    last = tb
    while last.tb_next:
        last = last.tb_next
    found = _claim_at(last)
    if found is None:  # it comes from a library, or from a task, whose error Ray raises here: not a claim of the cell
        shell.showtraceback((etype, value, tb))
        return []
    ray = sys.modules.get("ray")
    print(explain(found, str(value), getattr(ray, "__version__", None)))
    shown = shell.InteractiveTB.structured_traceback(etype, value, last, tb_offset=0)
    shell._showtraceback(etype, value, shown)  # what IPython itself calls: in a kernel it sends the cell's error output
    return shown


def _claim_at(last: TracebackType) -> str | None:
    """The condition of the ``assert`` in a cell at which a traceback ends; ``None`` if it ends elsewhere."""
    frame = last.tb_frame
    if frame.f_globals.get("__name__") != "__main__":
        return None
    source = "".join(linecache.getlines(frame.f_code.co_filename))
    asserts = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)]
    here = [node for node in asserts if node.lineno <= last.tb_lineno <= node.end_lineno]
    return ast.get_source_segment(source, here[0].test) if here else None


def _is_installed(shell) -> bool:
    return _put_back is not None and shell.CustomTB is _put_back[2]


def _shell():
    """IPython's shell, if this is one; IPython is not imported for that."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None
