"""Every exercise as its learners meet it: the stub, the folded solution, the usual mistakes, and nonsense.

``Client`` is what runs a notebook in the test suite. Before the clean-up it gives every exercise these answers, in the
kernel and on the cluster of the lesson, and afterwards says which of them got another result than they should. What an
exercise rests on are the cells tagged ``given``; they run once more before the answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from nbclient import NotebookClient
from nbformat import v4
from nbmake.nb_result import NotebookError, NotebookResult
from nbmake.pytest_items import NotebookFailedException
from wrong_answers import WRONG

SOLUTION = re.compile(r"<summary>Solution</summary>\s*```python\n(.*?)```", re.S)
SKIPPED = re.compile(r"^Skipped\b.*? needs (.+?)[.:]", re.M)  # what klaw_course.notebook.marks says
# Each takes another way through a checker.
NONSENSE = """
class Odd:
    def __getattr__(self, name):
        raise RuntimeError("odd")

[check({id!r}, answer).state for answer in (None, -1.5, "x", lambda *a: 1 / 0, [], Odd())]
"""


class Answer(NamedTuple):
    """One cell that answers an exercise.

    Attributes:
        what: which answer it is, for the report.
        code: the cell.
        shows: how the text that it shows must begin.
        hint: what must be in that text.
    """

    what: str
    code: str
    shows: str
    hint: str = ""


@dataclass
class Report:
    """What a run was like, for the summary.

    Attributes:
        answers: how many answers were checked.
        skipped: how many cells said that they are skipped, by what they need.
        not_checked: the exercises whose answers did not run, for want of PyTorch.
    """

    answers: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    not_checked: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"{self.answers} answers"]
        parts += [f"{count} cells skipped for want of {needs}" for needs, count in self.skipped.items()]
        return "; ".join(parts + [f"not checked: {', '.join(self.not_checked)}"] * bool(self.not_checked))


report = Report()  # of the notebook that runs, or ran last


def before_the_first() -> None:
    """Do nothing. Called when a notebook's own cells have run; whoever runs notebooks may put something else here."""


def exercises(cells: list) -> dict[str, tuple[str, str]]:
    """Find a notebook's exercises.

    Args:
        cells: its cells.

    Returns:
        The exercise's id to the code of its stub and of its folded solution.
    """
    return {
        name: (cell.source, SOLUTION.search(below.source)[1])
        for cell, below in zip(cells, cells[1:], strict=False)
        if (name := cell.metadata.get("exercise"))
    }


def answers(name: str, stub: str, solution: str) -> list[Answer]:
    """List the answers to one exercise, with what each must show."""
    return [
        Answer(f"stub of {name}", stub, "□ todo"),
        Answer(f"solution of {name}", solution, "✓ right"),
        *(Answer(f"wrong {name}: {hint}", code, "✗ wrong", hint) for code, hint in WRONG.get(name, ())),
        Answer(f"nonsense for {name}", NONSENSE.format(id=name), str(["wrong"] * 6)),
    ]


class Client(NotebookClient):
    """Run a notebook, and the answers to its exercises before its clean-up.

    Args:
        nb: the notebook; it is changed.
        arguments: as for ``NotebookClient``.
    """

    def __init__(self, nb, **arguments):
        global report
        super().__init__(nb, **arguments)
        report = Report()
        self._asked: list[tuple[Answer, object]] = []
        self._given: list = []  # what the answers rest on, a second time
        self._exercises = exercises(nb.cells)
        if not self._exercises:
            return
        asked = [answer for name, parts in self._exercises.items() for answer in answers(name, *parts)]
        self._given = [v4.new_code_cell(cell.source) for cell in nb.cells if "given" in cell.metadata.get("tags", ())]
        # So tagged, a cell that fails does not end the run: the report is about all answers, and the clean-up runs.
        raises = {"tags": ["raises-exception"]}
        self._asked = [(answer, v4.new_code_cell(answer.code, metadata=raises)) for answer in asked]
        end = next(n for n, cell in enumerate(nb.cells) if "cleanup" in cell.metadata.get("tags", ()))
        nb.cells[end:end] = [*self._given, *(cell for _, cell in self._asked)]

    async def async_execute_cell(self, cell, cell_index, *arguments, **named):
        """Run a cell; but no answer where what the answers rest on was skipped for want of PyTorch."""
        if report.not_checked and any(cell is asked for _, asked in self._asked):
            return cell
        if self._asked and cell is self._asked[0][1]:
            before_the_first()
        result = await super().async_execute_cell(cell, cell_index, *arguments, **named)
        for needs in SKIPPED.findall("".join(output.get("text", "") for output in cell.get("outputs", ()))):
            report.skipped[needs] = report.skipped.get(needs, 0) + 1
            if needs == "PyTorch" and any(cell is given for given in self._given):
                report.not_checked = list(self._exercises)
        return result

    def execute(self, **arguments):
        """Run it all.

        Raises:
            NotebookFailedException: an answer got another result than it should, or a cell was skipped for want of
                something that the lesson's own cluster has.
        """
        notebook = super().execute(**arguments)
        failures = [f"a cell was skipped for want of {needs}" for needs in report.skipped if needs != "PyTorch"]
        if not report.not_checked:
            report.answers = len(self._asked)
            failures += [
                f"{answer.what}: {shown or 'it shows nothing'}"
                for answer, cell in self._asked
                if not _is_as_wanted(answer, shown := _shown(cell))
            ]
        if failures:
            raise failure(f"{len(failures)} answers or cells got another result than they should", failures)
        return notebook


def failure(summary: str, details: list[str]) -> NotebookFailedException:
    """Make the failure of a notebook in the form that nbmake reports."""
    trace = "\n  ".join([f"{summary}:", *details])
    return NotebookFailedException(NotebookResult(nb=None, error=NotebookError(summary, trace, -1)))


def _is_as_wanted(answer: Answer, shown: str) -> bool:
    text, begins = (" ".join(part.split()) for part in (shown, answer.shows))
    return text.startswith(begins) and answer.hint in shown


def _shown(cell) -> str:
    """The value of a cell, or its error."""
    values = [output["data"]["text/plain"] for output in cell.outputs if output.output_type == "execute_result"]
    errors = [f"{output.ename}: {output.evalue}" for output in cell.outputs if output.output_type == "error"]
    return "".join(values + errors)
