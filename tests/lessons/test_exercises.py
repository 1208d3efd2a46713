"""Every exercise has a checker, a solution and wrong answers; ``answers.py`` gives them in the run of its notebook."""

from __future__ import annotations

import re

import nbformat
import pytest
from answers import exercises
from form import NOTEBOOKS
from wrong_answers import WRONG

from klaw_course.check import checkers

LESSONS = {path.name[:2]: path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_exercise_has_a_checker_and_wrong_answers(lesson):
    found = exercises(nbformat.read(LESSONS[lesson], 4).cells)
    assert set(found) == set(checkers(lesson)) == {name for name in WRONG if name.startswith(f"{lesson}.")}
    assert all(len(WRONG[name]) >= 2 for name in found)


def test_every_wrong_answer_belongs_to_a_lesson():
    assert {name.partition(".")[0] for name in WRONG} <= set(LESSONS)


@pytest.mark.parametrize("name", WRONG)
def test_every_wrong_answer_is_given_to_its_own_exercise(name):
    asked = [re.findall(r"check\([\"'](.*?)[\"']", code) for code, _ in WRONG[name]]
    assert all(names and set(names) == {name} for names in asked)
