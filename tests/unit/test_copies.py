"""A learner's afternoon without Ray: copies are made, answered, kept through an update of the course, and made anew."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from klaw_course.notebook import copies

ROOT = Path(__file__).parents[2]


def notebook(*sources: str) -> dict:
    cells = [{"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": s} for n, s in enumerate(sources)]
    cells = [cell | {"outputs": [], "execution_count": None} for cell in cells]
    return {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}


def save(path: Path, *sources: str, output: bool = False) -> None:
    """Write a notebook as Jupyter does: cells from the editor, the metadata that the file had."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = notebook(*sources)
    if path.exists():
        written["metadata"] = json.loads(path.read_text())["metadata"]
    if output:
        written["cells"][0] |= {"execution_count": 1, "outputs": [{"output_type": "stream", "text": ["x"]}]}
    path.write_text(json.dumps(written))


def sources(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]


@pytest.fixture
def root(tmp_path):
    save(tmp_path / "notebooks" / "00_start.ipynb", "start()", "answer = ...")
    save(tmp_path / "notebooks" / "03_scheduling.ipynb", "start()", "answer = ...")
    save(tmp_path / "notebooks" / "deeper" / "03_labels.ipynb", "start()")
    (tmp_path / "notebooks" / ".ruff.toml").write_text("")
    copies.fill(tmp_path)
    return tmp_path


def test_work_is_filled_with_the_lessons_and_nothing_else(root):
    files = sorted(str(path.relative_to(root / "work")) for path in (root / "work").rglob("*") if path.is_file())
    assert files == ["00_start.ipynb", "03_scheduling.ipynb", "deeper/03_labels.ipynb"]
    for name in files:
        assert sources(root / "work" / name) == sources(root / "notebooks" / name)
        assert copies.changed_since_copied(root / "work" / name, root) is None


def test_a_saved_answer_is_there_after_an_update_and_the_lesson_says_that_it_changed(root):
    save(root / "work" / "03_scheduling.ipynb", "start()", "answer = 42")
    save(root / "notebooks" / "03_scheduling.ipynb", "start(1)", "answer = ...")
    copies.fill(root)
    assert sources(root / "work" / "03_scheduling.ipynb") == ["start()", "answer = 42"]
    sentence = copies.changed_since_copied(root / "work" / "03_scheduling.ipynb", root)
    assert "make reset LESSON=03`" in sentence and sentence.count(". ") == 0
    assert copies.changed_since_copied(root / "work" / "00_start.ipynb", root) is None


def test_a_saved_output_is_the_learners_too(root):
    save(root / "work" / "03_scheduling.ipynb", "start()", "answer = ...", output=True)
    save(root / "notebooks" / "03_scheduling.ipynb", "start(1)", "answer = ...")
    copies.fill(root)
    assert sources(root / "work" / "03_scheduling.ipynb")[0] == "start()"


def test_a_copy_with_which_nothing_was_done_follows_the_course(root):
    save(root / "notebooks" / "03_scheduling.ipynb", "start(1)", "answer = ...")
    assert "0 new, 1 renewed" in copies.fill(root)
    assert sources(root / "work" / "03_scheduling.ipynb")[0] == "start(1)"
    assert copies.changed_since_copied(root / "work" / "03_scheduling.ipynb", root) is None
    assert "0 new, 0 renewed" in copies.fill(root)


def test_what_a_run_leaves_in_the_original_is_no_change_of_the_lesson(root):
    save(root / "notebooks" / "03_scheduling.ipynb", "start()", "answer = ...", output=True)
    assert copies.changed_since_copied(root / "work" / "03_scheduling.ipynb", root) is None


def test_a_file_of_the_learners_own_stays(root):
    mine = root / "work" / "05_mine.ipynb"
    mine.write_text("not even a notebook")
    save(root / "notebooks" / "05_mine.ipynb", "x")
    copies.fill(root)
    assert mine.read_text() == "not even a notebook"
    assert copies.changed_since_copied(mine, root) is None


def test_reset_keeps_every_old_copy(root):
    copy = root / "work" / "03_scheduling.ipynb"
    for answer in ("1", "2", "3"):
        save(copy, "start()", f"answer = {answer}")
        said = copies.reset("3", root)
        backup = re.search(r"work/03_scheduling\.\d{4}-\d\d-\d\d(-\d{6}(\.\d+)?)?\.ipynb", said)[0]
        assert sources(root / backup)[1] == f"answer = {answer}"
        assert sources(copy)[1] == "answer = ..."
    assert len(list((root / "work").glob("03_scheduling.*.ipynb"))) == 3


def test_reset_of_a_copy_with_which_nothing_was_done_keeps_no_second_one(root):
    save(root / "notebooks" / "03_scheduling.ipynb", "start(1)", "answer = ...")
    assert "old one" not in copies.reset("03_scheduling", root)
    assert sources(root / "work" / "03_scheduling.ipynb")[0] == "start(1)"
    assert len(list((root / "work").glob("03_*"))) == 1


def test_deeper_lessons_are_reset_by_their_folder(root):
    save(root / "work" / "deeper" / "03_labels.ipynb", "mine")
    assert "work/deeper/03_labels." in copies.reset("deeper/03", root)
    save(root / "work" / "deeper" / "03_labels.ipynb", "mine")
    save(root / "notebooks" / "deeper" / "03_labels.ipynb", "new")
    assert "LESSON=deeper/03`" in copies.changed_since_copied(root / "work" / "deeper" / "03_labels.ipynb", root)


def test_a_lesson_that_left_the_course_says_so(root):
    (root / "notebooks" / "03_scheduling.ipynb").unlink()
    said = copies.changed_since_copied(root / "work" / "03_scheduling.ipynb", root)
    assert said.startswith("The course has no lesson 03_scheduling any more")


def test_the_kernels_notebook_is_the_default(root, monkeypatch):
    save(root / "work" / "03_scheduling.ipynb", "start()", "answer = 42")
    save(root / "notebooks" / "03_scheduling.ipynb", "start(1)")
    monkeypatch.setenv("JPY_SESSION_NAME", str(root / "work" / "03_scheduling.ipynb"))
    assert "LESSON=03`" in copies.changed_since_copied(root=root)
    for name in ("", str(root / "gone.ipynb"), str(root), str(root / "notebooks" / "03_scheduling.ipynb")):
        monkeypatch.setenv("JPY_SESSION_NAME", name)
        assert copies.changed_since_copied(root=root) is None
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert copies.changed_since_copied(root=root) is None


@pytest.mark.parametrize("lesson", ["07", "banana", "", "9", "03_sched", "../03"])
def test_an_unknown_lesson_gets_one_sentence(root, lesson):
    with pytest.raises(ValueError) as caught:
        copies.reset(lesson, root)
    assert str(caught.value).endswith("with one of: 00, 03, deeper/03.")


def test_a_broken_lesson_is_named_and_the_copy_stays(root):
    save(root / "work" / "03_scheduling.ipynb", "start()", "answer = 42")
    (root / "notebooks" / "03_scheduling.ipynb").write_text("<<<<<<< HEAD")
    with pytest.raises(ValueError, match=r"notebooks/03_scheduling.ipynb is no notebook.*git checkout"):
        copies.reset("03", root)
    assert sources(root / "work" / "03_scheduling.ipynb")[1] == "answer = 42"
    assert copies.changed_since_copied(root / "work" / "03_scheduling.ipynb", root) is None


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["reset", "77"], 1, "There is no lesson '77'"),
        (["reset"], 1, "No lesson is named; write make reset LESSON=03"),
        ([], 2, "Nothing is no command. Run:"),
        (["fill", "it"], 2, "fill it is no command. Run:"),
    ],
)
def test_the_command_refuses_in_one_line(arguments, status, said):
    command = [sys.executable, "-m", "klaw_course.notebook", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (status, "")
    assert said in run.stderr and len(run.stderr.splitlines()) == 1


def test_pictures_of_a_lesson_are_found_from_its_copy():
    found = 0
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        folder = ROOT / "work" / path.relative_to(ROOT / "notebooks").parent
        for picture in re.findall(r"\]\(((?:\.\./)+[^)#\s]+\.svg)\)", path.read_text(encoding="utf-8")):
            assert Path(os.path.normpath(folder / picture)).is_file(), f"{path.name} shows {picture}"
            found += 1
    assert found
