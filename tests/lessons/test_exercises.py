"""Every exercise as its learners will meet it: the stub, the folded solution, the usual wrong answers, and nonsense.

For each lesson one notebook is made of its setup cell, its cells tagged ``given``, and the answers; a real kernel runs
it against a real cluster. What an exercise needs must therefore be in those cells.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from wrong_answers import WRONG

from klaw_course.check import checkers

FOLDER = Path(__file__).parents[2] / "notebooks"
LESSONS = {path.name[:2]: path for path in sorted(FOLDER.glob("*.ipynb"))}
SOLUTION = re.compile(r"<summary>Solution</summary>\s*```python\n(.*?)```", re.S)
NONSENSE = """
class Odd:
    def __getattr__(self, name):
        raise RuntimeError("odd")

[check({id!r}, answer).state for answer in (
    None, 0, -1.5, "x", "", b"", object(), object, [], {{}}, (1, 2), print, len, check, lambda *a: 1 / 0, lambda *a: a,
    lambda: 3, Exception("x"), float("nan"), __import__("ray").remote(lambda *a: "x"), Odd(),
)]
"""


def lesson_parts(path: Path) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """The cells that exercises rest on, and for each exercise its stub and its solution."""
    cells = nbformat.read(path, 4).cells
    base = [c.source for c in cells if {"setup", "given"} & set(c.metadata.get("tags", ()))]
    exercises = {}
    for number, cell in enumerate(cells):
        if identifier := cell.metadata.get("exercise"):
            exercises[identifier] = (cell.source, SOLUTION.search(cells[number + 1].source)[1])
    return base, exercises


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_exercise_has_a_checker_and_wrong_answers(lesson):
    _, exercises = lesson_parts(LESSONS[lesson])
    assert set(exercises) == set(checkers(lesson)) == {i for i in WRONG if i.startswith(f"{lesson}.")}
    assert all(len(answers) >= 2 for identifier, answers in WRONG.items() if identifier in exercises)


@pytest.mark.parametrize("lesson", LESSONS)
def test_stub_solution_wrong_answers_and_nonsense(lesson):
    base, exercises = lesson_parts(LESSONS[lesson])
    asked = []  # (what, code, state, part of the hint)
    for identifier, (stub, solution) in exercises.items():
        asked.append((f"stub of {identifier}", stub, "□ todo", ""))
        asked.append((f"solution of {identifier}", solution, "✓ right", ""))
        asked += [(f"wrong {identifier}: {hint}", code, "✗ wrong", hint) for code, hint in WRONG[identifier]]
        states = "['wrong'" + ", 'wrong'" * 20 + "]"
        asked.append((f"nonsense for {identifier}", NONSENSE.format(id=identifier), states, ""))
    codes = [*base, *(code for _, code, _, _ in asked), "cluster.stop()"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in codes])
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    failures = []
    for (what, _, state, hint), cell in zip(asked, notebook.cells[len(base) :], strict=False):
        shown = "".join(o["data"]["text/plain"] for o in cell.outputs if o.output_type == "execute_result")
        if not shown.replace("\n", "").replace("  ", " ").startswith(state.replace("  ", " ")) or hint not in shown:
            failures.append(f"{what}: {shown}")
    assert not failures, "\n".join(failures)
