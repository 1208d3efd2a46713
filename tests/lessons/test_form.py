"""Every lesson has the form that ``form.py`` describes; and every rule there is broken once. Needs no Ray."""

from __future__ import annotations

import json

import minutes
import pytest
from form import NOTEBOOKS, RECAP, problems
from form_cells import Cell
from sizes import LESSON, minutes_to_read

# --- the lessons -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.rglob("*.ipynb")), ids=lambda path: path.name)
def test_the_lesson_has_the_form(path):
    found = problems(str(path.relative_to(NOTEBOOKS)), json.loads(path.read_text(encoding="utf-8")), path.parent)
    assert not found, "\n" + "\n".join(found)


# --- the checker: a small lesson that is right, and every rule broken once -------------------------------------------

NAME = "07_small.ipynb"
PRIVATE = "# Needs a private cluster: it says why.\n"


def lesson() -> dict:
    """A small lesson that keeps every rule."""
    cells = [
        text("title", "# 07 · Small\n\nA promise.\n\n**You will be able to**\n\n- name\n- draw\n  well\n- count\n"),
        text("facts", "**Minutes:** read READ · run 2 · do 15\n\n**Needs:** 2 cores\n"),
        text("recall", "## Recall\n\nWhy?\n" + folded("Answer", "So.") + "\n\nHow?\n" + folded("Answer", "Thus.")),
        code("setup", "from klaw_course import cluster\n\ncluster.start()", "setup"),
    ]
    for n in range(1, 5):
        cells += [
            text(
                f"e{n}",
                f"## {n} · What is {n}?\n\n```python\n# no heading\nx!\n```\n\n`a != b` ✓ holds. **Predict** it.",
            ),
            code(f"e{n}-guess", "guess = {1: ...}"),
            code(f"e{n}-run", f"x = {n}\nassert x == {n}"),
            *(exercise(n) if n < 3 else []),
        ]
    cells.append(text("filler", "word " * 880))
    cells.append(code("fail", "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    print(error)", "failure"))
    cells.append(text("picture", "![A picture of a task that travels to a worker](p.svg)"))
    cells += exercise(3)
    links = "**Further reading**: [one](https://docs.ray.io/en/releases-2.60.0/one.html)\n\n**Deeper**: why?\n"
    table = f"{RECAP}\n|---|---|---|\n| a | b | c |"
    cells.append(text("recap", f"## Recap\n\n{table}\n\n**If your Ray differs**: no.\n\n{links}"))
    cells += [text("clean-up", "## Clean up"), code("stop", "cluster.stop()", "cleanup")]
    box = "- **Ask:** a\n- **Demo:** b\n- **Watch for:** c\n- **Skip** if short: d"
    cells.append(text("instructors", folded("For instructors", box)))
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    minutes = minutes_to_read([Cell(number, cell) for number, cell in enumerate(cells)])
    cells[1]["source"] = cells[1]["source"].replace("READ", str(minutes))
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": spec, "language_info": {"name": "python"}},
        "cells": cells,
    }


def deeper() -> dict:
    """A small deeper notebook that keeps every rule."""
    cells = [
        text("title", "# Small, deeper\n\nFor later.\n\n**Minutes:** read 1 · run 1\n"),
        code("setup", "from klaw_course import cluster\n\ncluster.start()", "setup"),
        text("e1", "## 1 · Why?"),
        code("e1-run", "x = 1\nassert x == 1"),
        text("clean-up", "## Clean up"),
        code("stop", "cluster.stop()", "cleanup"),
    ]
    return {**lesson(), "cells": cells}


def exercise(n: int) -> list[dict]:
    stub = code(f"x{n}-stub", f'answer = ...\ncheck("07.{n}", answer)', "exercise")
    stub["metadata"]["exercise"] = f"07.{n}"
    hints = folded("Hint 1", "Look.") + "\n" + folded("Hint 2", "Again.")
    solution = folded("Solution", f'```python\ncheck("07.{n}", 42)\n```')
    return [
        text(f"x{n}", f"## Exercise 07.{n} · Try (5 minutes)"),
        stub,
        text(f"x{n}-help", hints + "\n" + solution),
    ]


def text(identity: str, source: str) -> dict:
    return {"cell_type": "markdown", "id": identity, "metadata": {}, "source": source}


def code(identity: str, source: str, *tags: str) -> dict:
    meta = {"tags": list(tags)} if tags else {}
    return dict(cell_type="code", id=identity, metadata=meta, source=source, outputs=[], execution_count=None)


def folded(summary: str, inside: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{inside}\n\n</details>"


def swap(identity: str, old: str, new: str):
    """A way to break a lesson: replace a text in one cell."""

    def change(notebook):
        cell = next(cell for cell in notebook["cells"] if cell["id"] == identity)
        assert old in cell["source"], f"{identity} has no {old!r}"
        cell["source"] = cell["source"].replace(old, new)

    return change


def put(identity: str, key: str, value):
    """A way to break a lesson: set a field of one cell."""
    return lambda notebook: next(cell for cell in notebook["cells"] if cell["id"] == identity).update({key: value})


def drop(identity: str):
    """A way to break a lesson: leave a cell out (another takes its place, so that the number stays)."""

    def change(notebook):
        kept = [cell for cell in notebook["cells"] if cell["id"] != identity]
        notebook["cells"] = [*kept[:-1], text("placeholder", "word"), kept[-1]]

    return change


def add(cell: dict, at: int = -6):
    """A way to break a lesson: one cell more, by default before the recap's clean-up."""
    return lambda notebook: notebook["cells"].insert(at, cell)


def meta(key: str, value):
    return lambda notebook: notebook["metadata"].update({key: value})


def top(key: str, value):
    return lambda notebook: notebook.update({key: value})


def long_cells(notebook):
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["source"] += "\nx = 1" * 11


def few_words(notebook):
    next(cell for cell in notebook["cells"] if cell["id"] == "filler")["source"] = "word"


BROKEN = [
    ("nbformat", top("nbformat_minor", 4), "nbformat is 4.4"),
    ("kernel", meta("kernelspec", {"name": "klaw", "display_name": "k", "language": "python"}), "kernelspec"),
    ("kernel-extra", meta("kernelspec", {"name": "python3"}), "kernelspec"),
    ("language-info", meta("language_info", {"name": "python", "version": "3.11.7"}), "language_info"),
    ("metadata", meta("widgets", {}), "metadata has 'widgets'"),
    ("id-characters", put("picture", "id", "Picture_1"), "(Picture_1): the id has other"),
    ("id-missing", put("picture", "id", ""), "the id has other"),
    ("id-twice", put("picture", "id", "facts"), "another cell has this id"),
    ("output", put("e1-run", "outputs", [{"output_type": "stream"}]), "(e1-run): an output"),
    ("count", put("e1-run", "execution_count", 3), "(e1-run): an output or execution count"),
    ("times", put("e1-run", "metadata", {"execution": {}}), "execution times"),
    ("raises", put("e1-run", "metadata", {"tags": ["raises-exception"]}), "hides failures"),
    ("skip", put("e1-run", "metadata", {"tags": ["skip"]}), "hides failures"),
    ("bang-pip", swap("e1-run", "x = 1", "!pip install x\nx = 1"), "installs something"),
    ("magic-pip", swap("e1-run", "x = 1", "%pip install x\nx = 1"), "installs something"),
    ("no-h1", swap("title", "# 07", "07"), "0 H1 headings"),
    ("two-h1", swap("e1", "## 1", "# One\n\n## 1"), "2 H1 headings"),
    ("h1-late", lambda nb: nb["cells"].insert(0, nb["cells"].pop(1)), "1 H1 headings"),
    ("level", swap("e1", "`a", "#### Deep\n\n`a"), "(e1): the heading 'Deep' skips a level"),
    ("goals", swap("title", "- count\n", ""), "2 bullets"),
    ("goals-many", swap("title", "- count\n", "- count\n- more\n"), "4 bullets"),
    ("goals-none", swap("title", "You will be able to", "Goals"), "0 bullets"),
    ("minutes", swap("facts", "run 2", "run it"), "**Minutes:**"),
    ("minutes-dot", swap("facts", " · ", ", "), "**Minutes:**"),
    ("needs", swap("facts", "**Needs:**", "Needs"), "**Needs:**"),
    ("recall", swap("recall", "## Recall", "Recall"), "'## Recall'"),
    ("recall-one", swap("recall", folded("Answer", "So."), ""), "1 folded answers"),
    ("setup-tag", put("setup", "metadata", {}), "0 cells have the tag 'setup'"),
    ("setup-call", swap("setup", "cluster.start()", "ray.init()"), "calls cluster.start"),
    ("episode-form", swap("e2", "2 ·", "2."), "'2. What is 2?' is not written like"),
    ("episode-gap", swap("e3", "3 ·", "5 ·"), "numbered [1, 2, 5, 4]"),
    (
        "episode-few",
        lambda nb: [swap(f"e{n}", f"## {n} · What", "### What")(nb) for n in (3, 4)],
        "there are 2 episodes",
    ),
    ("episode-many", add(text("m", "\n".join(f"## {n} · Q?" for n in range(5, 12)))), "there are 11 episodes"),
    ("assert", swap("e3-run", "assert x == 3", "x"), "(e3): the episode '3 · What is 3?' has no assert"),
    ("failure", put("fail", "metadata", {}), "no cell has the tag 'failure'"),
    ("failure-caught", put("fail", "source", "# except nothing\nprint('all is well')"), "(fail): a cell with"),
    ("exercise-two", swap("x3", "## Exercise 07.3 · Try (5 minutes)", "More"), "there are 2 exercises"),
    ("exercise-form", swap("x2", "(5 minutes)", ""), "is not written like '## Exercise 07.1"),
    ("exercise-id", swap("x1", "07.1", "06.1"), "the exercises are 06.1, 07.2, 07.3"),
    ("exercise-tag", put("x1-stub", "metadata", {"exercise": "07.1"}), "exercise 07.1 has 0 cells"),
    ("exercise-key", put("x1-stub", "metadata", {"tags": ["exercise"]}), '(x1-stub): its metadata lacks "exercise"'),
    ("exercise-place", put("e1-run", "metadata", {"tags": ["exercise"]}), "(e1-run): it has the tag 'exercise'"),
    ("stub-check", swap("x1-stub", "07.1", "07.2"), "(x1-stub): the stub calls"),
    ("stub-hole", swap("x1-stub", "...", "1"), "has a ... to replace"),
    ("hint", swap("x1-help", "Hint 2", "More"), "exercise 07.1 has 1 folded hints"),
    ("solution", swap("x1-help", "Solution", "The solution"), "exercise 07.1 has 0 folded parts called 'Solution'"),
    ("solution-code", swap("x1-help", "```python", "```"), "its solution is one ```python block"),
    ("solution-check", swap("x1-help", "07.1", "07.2"), "its solution is one ```python block"),
    ("recap", swap("recap", "Because", "Why"), "the section '## Recap' lacks the table"),
    ("recap-heading", swap("recap", "## Recap", "Recap"), "the section '## Recap' lacks the table"),
    ("differs", swap("recap", "If your Ray differs", "Other Rays"), "'If your Ray differs'"),
    ("clean-heading", swap("clean-up", "## Clean up", "The end"), "the section '## Clean up' lacks"),
    ("clean-tag", put("stop", "metadata", {}), "the section '## Clean up' lacks"),
    ("clean-call", swap("stop", "cluster.stop()", "ray.shutdown()"), "the section '## Clean up' lacks"),
    ("clean-last", add(code("late", "x = 1"), -1), "(late): code comes after the clean-up"),
    ("instructors", swap("instructors", "For instructors", "Notes"), "summary 'For instructors'"),
    ("instructors-last", lambda nb: nb["cells"].append(text("end", "The end.")), "(end): the last cell"),
    ("instructors-words", swap("instructors", "Demo", "Show"), "lacks 'Demo'"),
    ("open", swap("recall", "<details>", "<details open>"), "(recall): a <details> is open"),
    ("unclosed", swap("picture", "![", "<details>\n\n!["), "(picture): a <details> is not closed"),
    ("alt", swap("picture", "A picture of a task that travels to a worker", "A picture"), "alt text 'A picture' of"),
    ("alt-html", put("picture", "source", '<img src="p.svg">'), "alt text ''"),
    ("picture-file", swap("picture", "p.svg", "q.svg"), "'q.svg' is not a file"),
    ("picture-remote", swap("picture", "p.svg", "https://example.org/p.svg"), "is not a file"),
    ("picture-attached", swap("picture", "p.svg", "attachment:p.svg"), "is not a file"),
    ("cells-many", lambda nb: [add(text(f"m{n}", "x"))(nb) for n in range(51)], "cells; a lesson has 1 to 50"),
    ("words-few", few_words, "words; a lesson has 900 to 1600"),
    ("words-many", swap("filler", "word", "word word"), "words; a lesson has 900 to 1600"),
    ("lines-many", swap("e1-run", "x = 1", "x = 1\n" * 150), "lines of code outside set-up and exercises; 140 are"),
    ("line-max", swap("e1-run", "x = 1", "x = 1\n" * 12), "there are 13 lines in the longest code cell; 12 are"),
    ("line-median", long_cells, "lines in the median of code cells; 5 are"),
    ("line-wide", swap("e1-run", "x = 1", f"x = 1{'1' * 76}"), "81 characters in the longest line of code; 80 are"),
    (
        "words-a-line",
        lambda nb: [few_words(nb), swap("e1-run", "x = 1", "x = 1\n" * 12)(nb)],
        "words for a line of code; 7 are the least",
    ),
    ("row", add(code("more", "x = 1"), 7), "there are 3 code cells without a text"),
    (
        "minutes-many",
        lambda nb: [swap(f"e{n}-run", "x", "x = 1\n" * 35 + "x")(nb) for n in (1, 2, 3, 4)],
        "minutes to read",
    ),
    ("minutes-read", swap("facts", "read ", "read 1"), "run make minutes"),
    ("minutes-do", swap("facts", "do 15", "do 14"), "promises 14 minutes to do, and its exercises say 15"),
    ("guess", swap("e1-guess", "guess", "answer"), "(e1): it says Predict"),
    ("order", lambda nb: nb["cells"].append(nb["cells"].pop(4)), "follow one another as"),
    ("order-last", swap("x2", "## Exercise", "### Exercise"), "follow one another as"),
    ("further", swap("recap", "**Further reading**", "More"), "has 0 links"),
    ("further-many", swap("recap", "html)", "html)" + ", [x](https://example.org)" * 3), "has 4 links"),
    ("link-version", swap("recap", "releases-2.60.0", "latest"), "is not of the pinned version"),
    ("deeper", swap("recap", "**Deeper**", "Deeper"), "lacks the questions of the deeper notebook"),
    ("just", swap("e1", "holds", "just holds"), "(e1): the text has 'just'"),
    ("simply", swap("e1", "`a", "Simply, `a"), "(e1): the text has 'Simply'"),
    ("exclamation", swap("e1", "holds.", "holds!"), "(e1): the text has '!'"),
    ("exclamation-alt", swap("picture", "worker]", "worker!]"), "(picture): the text has '!'"),
    ("emoji", swap("e1", "holds", "\U0001f680 holds"), "the emoji"),
    ("emoji-old", swap("e1", "holds", "\u2728 holds"), "the emoji"),
    ("sleep", swap("e1-run", "x = 1", "time.sleep(5)\nx = 1"), "(e1-run): it sleeps 5 s"),
    ("sleep-bare", swap("e1-run", "x = 1", "sleep(7.5)\nx = 1"), "(e1-run): it sleeps 7.5 s"),
    ("unseen", swap("e1-run", "x = 1", "show.lines(x)\nx = 1"), "(e1-run): 'show.lines(x)' is not its last line"),
    ("unseen-plot", swap("e1-run", "x = 1", "seen.plot('a')\nx = 1"), "(e1-run): \"seen.plot('a')\" is not its last"),
    ("mark-form", swap("e1-run", "x = 1", "# Needs a cluster: it kills a node.\nx = 1"), "(e1-run): the mark"),
    ("mark-stop", swap("e1-run", "x = 1", "# Needs PyTorch: no full stop\nx = 1"), "(e1-run): the mark"),
    ("mark-case", swap("e1-run", "x = 1", "# needs PyTorch: it is small.\nx = 1"), "(e1-run): the mark"),
    ("mark-late", swap("e1-run", "x = 1", "x = 1\n# Needs PyTorch: it comes late."), "is the first line"),
    ("mark-setup", swap("setup", "from", "# Needs PyTorch: no.\nfrom"), "(setup): the setup cell has a mark"),
    ("kill-node", swap("e1-run", "x = 1", f"{PRIVATE}here.kill_node('a')\nx = 1"), "it uses here.kill_node"),
    ("add-node", swap("e1-run", "x = 1", "here.add_node(Node('a'))\nx = 1"), "it uses here.add_node"),
    ("processes", swap("e1-run", "x = 1", "here.processes()\nx = 1"), "it uses here.processes"),
    ("session-dir", swap("e1-run", "x = 1", "print(here.session_dir)\nx = 1"), "it uses here.session_dir"),
    ("token", swap("e1-run", "x = 1", "print(here.token)\nx = 1"), "it uses here.token"),
    ("psutil", swap("e1-run", "x = 1", "psutil.Process(7).kill()\nx = 1"), "it uses psutil"),
    ("raylet-log", swap("e1-run", "x = 1", "open(logs / 'raylet.out')\nx = 1"), "it uses raylet.out"),
    ("torch-only", swap("e1-run", "x = 1", "# Needs PyTorch: no.\nx = here.token\nx = 1"), "it uses here.token"),
    ("skip-rest", swap("setup", "cluster.start()", "cluster.start()\ncluster.skip_rest_unless(1)"), "skip_rest_unless"),
    ("not-python", swap("e1-run", "x = 1", "x = = 1"), "(e1-run): it is not Python"),
]
HARMLESS = [
    ("asks-itself", swap("e1-run", "x = 1", "if not here.attached:\n    here.processes()\nx = 1")),
    ("mark", swap("e1-run", "x = 1", f"{PRIVATE}x = here.processes()\nx = 1")),
    ("mark-here", swap("e1-run", "x = 1", "# Needs a node on this machine: it looks.\npsutil.Process()\nx = 1")),
    ("mark-simulated", swap("e1-run", "x = 1", "# Needs simulated nodes: it looks.\nhere.kill_node('a')\nx = 1")),
    ("mark-in-prose", swap("e1-run", "x = 1", "# Whoever needs psutil reads the manual\nx = 1")),
    ("setup-imports", swap("setup", "from", "import psutil\nfrom")),
    ("magic", swap("e1-run", "x = 1", "%matplotlib inline\nx = 1")),
    ("await", swap("e1-run", "x = 1", "x = 1\nimport asyncio\nawait asyncio.sleep(0)")),
    ("short-sleep", swap("e1-run", "x = 1", "time.sleep(0.5)\nx = 1")),
    ("adjust", swap("e1", "holds", "adjusts")),
    ("image-tag", put("picture", "source", '<img alt="A picture of a task that travels to a worker" src="p.svg">')),
    ("fenced", swap("e1", "x!", "# Comment\n#### just a comment!")),
    ("tilde", swap("e1", "```", "~~~")),
    ("recall-and-more-in-one-cell", swap("recall", "Thus.\n\n</details>", "Thus.\n\n</details>\n\n## Start\n")),
    ("source-list", lambda nb: [cell.update(source=cell["source"].splitlines(True)) for cell in nb["cells"]]),
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "p.svg").write_text("<svg/>")
    return tmp_path


def test_a_small_lesson_passes(folder):
    assert problems(NAME, lesson(), folder) == []


@pytest.mark.parametrize(("change", "said"), [rule[1:] for rule in BROKEN], ids=[rule[0] for rule in BROKEN])
def test_a_broken_rule_is_named(change, said, folder):
    notebook = lesson()
    change(notebook)
    found = problems(NAME, notebook, folder)
    assert [problem for problem in found if said in problem and problem.startswith(NAME)], found


@pytest.mark.parametrize("change", [rule[1] for rule in HARMLESS], ids=[rule[0] for rule in HARMLESS])
def test_what_is_allowed_is_not_reported(change, folder):
    notebook = lesson()
    change(notebook)
    assert problems(NAME, notebook, folder) == []


DEEPER = [
    ("minutes", swap("title", "read 1", "read 2"), "'**Minutes:** read 1 · run 1'; run make minutes"),
    ("recall", swap("e1", "## 1", "## Recall\n\n## 1"), "no section 'Recall'"),
    ("exercise", put("e1-run", "metadata", {"tags": ["exercise"]}), "has no exercises"),
    ("cells", lambda nb: [add(text(f"m{n}", "x"), -2)(nb) for n in range(70)], "there are 76 cells"),
    ("longest", swap("e1-run", "x = 1", "x = 1\n" * 15), "16 lines in the longest code cell; 15 are"),
    ("assert", swap("e1-run", "assert x == 1", "x"), "has no assert"),
    ("mark", swap("e1-run", "x = 1", "here.token\nx = 1"), "it uses here.token"),
    ("clean", swap("stop", "cluster.stop()", "x"), "'## Clean up' lacks"),
]


@pytest.mark.parametrize(("change", "said"), [rule[1:] for rule in DEEPER], ids=[rule[0] for rule in DEEPER])
def test_a_broken_rule_of_a_deeper_notebook_is_named(change, said, folder):
    notebook = deeper()
    assert problems("deeper/07_small.ipynb", notebook, folder) == []
    change(notebook)
    found = problems("deeper/07_small.ipynb", notebook, folder)
    assert [problem for problem in found if said in problem], found


def test_minutes_are_computed_and_the_same_everywhere():
    for path in minutes.notebooks():
        assert minutes.promised(path)[0] == minutes.computed(path), f"{path.name}: run make minutes"
    assert minutes.readme() == (minutes.ROOT / "README.md").read_text(encoding="utf-8"), "run make minutes"
    assert minutes.schedule() == (minutes.ROOT / "SCHEDULE.md").read_text(encoding="utf-8"), "run make minutes"


def test_the_sizes_are_those_of_the_design():
    assert (LESSON.cells[1], LESSON.words, LESSON.code_lines, LESSON.median) == (50, (900, 1600), 140, 5)
    assert (LESSON.longest, LESSON.words_a_line, LESSON.code_in_a_row, LESSON.minutes) == (12, 7, 2, 30)


def test_lesson_00_has_nothing_to_recall(folder):
    notebook = json.loads(json.dumps(lesson()).replace("07.", "00."))
    drop("recall")(notebook)
    assert problems("00_small.ipynb", notebook, folder) == []
