"""Check the answer to an exercise: todo, wrong (with the hint for that mistake) or right.

The checkers live in ``klaw_course.check``, one module a lesson. Each is a function that takes the answer, raises
``Wrong`` with a hint for the mistake it recognised or ``NotHere`` if this cluster cannot tell, and returns a sentence
if the answer is right.
"""

from __future__ import annotations

import dis
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType

from klaw_course.show import Text


class Wrong(Exception):
    """Raised by a checker; its text names the mistake and gives the hint for it."""


class NotHere(Exception):
    """Raised by a checker that cannot judge on this cluster; its text says what it needs."""


@dataclass(frozen=True)
class Result:
    """What ``check`` returns; a notebook shows it as one line.

    Attributes:
        exercise: the exercise's id, such as ``"01.2"``.
        state: ``"todo"``, ``"wrong"``, ``"right"``, or ``"unchecked"`` where this cluster cannot tell.
        message: what to do, the hint, what was shown, or what is needed to check it.
    """

    exercise: str
    state: str
    message: str

    def __repr__(self) -> str:
        mark = {"todo": "□ todo ", "wrong": "✗ wrong", "right": "✓ right", "unchecked": "– not checked"}[self.state]
        return f"{mark}  {self.exercise}: {self.message}"


def check(exercise: str, answer: object) -> Result:
    """Check one exercise. It never raises because of the answer, whatever that is.

    Args:
        exercise: the id printed above the exercise, such as ``"01.2"``.
        answer: what you made. ``...``, or a function whose body is ``...``, counts as *todo*.

    Returns:
        A ``Result``.

    Raises:
        ValueError: there is no such exercise.
        ModuleNotFoundError: the course is not completely installed; it names what is missing.
        KeyboardInterrupt: you interrupted it.
    """
    checker = checkers(str(exercise).partition(".")[0]).get(exercise)
    if checker is None:
        known = ", ".join(checkers(str(exercise).partition(".")[0])) or "none in that lesson"
        raise ValueError(f"There is no exercise {exercise!r}; known: {known}.")
    try:
        if _is_todo(answer):
            return Result(exercise, "todo", "replace the ... above, then run this cell again.")
        return Result(exercise, "right", checker(answer))
    except Wrong as wrong:
        return Result(exercise, "wrong", str(wrong))
    except NotHere as elsewhere:
        return Result(exercise, "unchecked", str(elsewhere))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the learner's own code failed or left with sys.exit, or nobody foresaw the answer
        return Result(exercise, "wrong", f"your answer could not be used; it gave {_first_line(error)}")


def compare(guess: dict, seen: dict) -> Text:
    """Put what was guessed beside what was seen. A guess that was not made (``...``) is no mistake.

    Args:
        guess: question to answer, as filled in before the run.
        seen: the same questions, to what the run gave.

    Returns:
        A text table with a line for each question in ``seen``.
    """
    from tabulate import tabulate

    made = {key: str(mine) for key, mine in guess.items() if not _is_todo(mine)} if isinstance(guess, dict) else {}
    lines = [[key, made.get(key, "-"), str(value)] for key, value in seen.items()]
    return Text(tabulate(lines, headers=["", "you guessed", "you saw"], disable_numparse=True))


def checkers(lesson: str) -> dict[str, Callable[[object], str]]:
    """The checkers of a lesson.

    Args:
        lesson: its two digits, such as ``"01"``.

    Returns:
        Exercise id to checker; empty if the lesson has none.

    Raises:
        ModuleNotFoundError: the lesson's module needs one that is not installed.
    """
    module = f"{__name__}.lesson_{lesson}"
    try:
        return importlib.import_module(module).CHECKERS
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return {}


def need(condition: object, hint: str) -> None:
    """Raise ``Wrong(hint)`` unless the condition holds."""
    if not condition:
        raise Wrong(hint)


def _first_line(error: BaseException) -> str:
    """What an error is, on one line; its text may be anything, or fail."""
    try:
        text = str(error)
    except Exception:
        text = "its text cannot be shown"
    return f"{type(error).__name__}: {text}".strip().splitlines()[0]


def _is_todo(answer: object) -> bool:
    if isinstance(answer, (tuple, list, set)):
        return any(part is ... for part in answer)
    if isinstance(answer, dict):
        return any(part is ... for part in answer.values())
    function = answer
    if "ray" in sys.modules:  # without it there are no remote functions; and the doctor must run without it
        from klaw_course.cluster import _ray

        function = _ray.function_in(answer) if _ray.is_remote_function(answer) else answer
    return answer is ... or (isinstance(function, FunctionType) and _does_nothing(function))


def _does_nothing(function) -> bool:
    """Whether a function returns None, or the ``...`` of a lambda, and does nothing else."""
    steps = [i for i in dis.get_instructions(function) if i.opname not in ("RESUME", "NOP", "COPY_FREE_VARS")]
    only_returns = [i.opname for i in steps] in (["RETURN_CONST"], ["LOAD_CONST", "RETURN_VALUE"])
    return only_returns and (steps[0].argval is None or steps[0].argval is ...)
