"""The states of an exercise, and a guess beside what was seen."""

from __future__ import annotations

import sys

import pytest
import ray

from klaw_course import check, compare
from klaw_course.check import NotHere, lesson_00


def stub(a, b=2): ...


def stub_with_docstring():
    """Does something."""


@ray.remote
def remote_stub(): ...


@pytest.mark.parametrize(
    "answer", [..., (1, ...), [...], {"a": ...}, stub, stub_with_docstring, remote_stub, lambda: None, lambda x: ...]
)
def test_what_was_not_done_is_todo(answer):
    result = check("00.2", answer)
    assert result.state == "todo" and repr(result).startswith("□ todo   00.2: replace the ...")


@pytest.mark.parametrize("answer", [None, 0, "", "auto", b"x", object(), lambda x: x, Exception, float("nan"), {}, ()])
def test_nonsense_is_wrong_and_never_raises(answer):
    result = check("00.2", answer)
    assert result.state == "wrong" and repr(result).startswith("✗ wrong  00.2: ") and len(result.message) > 20


def test_where_the_cluster_cannot_tell_the_answer_is_neither_right_nor_wrong(monkeypatch):
    def elsewhere(answer):
        raise NotHere("it needs three nodes.")

    monkeypatch.setitem(lesson_00.CHECKERS, "00.2", elsewhere)
    result = check("00.2", {"address": "local"})
    assert result.state == "unchecked" and repr(result) == "– not checked  00.2: it needs three nodes."


def test_a_right_answer_is_right():
    result = check("00.2", {"address": "local", "num_cpus": 1})
    assert result.state == "right" and repr(result).startswith("✓ right  00.2: ")


def test_an_answer_that_fails_is_wrong_with_its_error(monkeypatch):
    monkeypatch.setitem(lesson_00.CHECKERS, "00.2", lambda answer: answer())

    def broken():
        raise ZeroDivisionError("by zero")

    assert check("00.2", broken).message == "your answer could not be used; it gave ZeroDivisionError: by zero"


def test_an_answer_that_leaves_with_sys_exit_is_wrong(monkeypatch):
    monkeypatch.setitem(lesson_00.CHECKERS, "00.2", lambda answer: answer())
    assert check("00.2", lambda: sys.exit(3)).message == "your answer could not be used; it gave SystemExit: 3"
    assert check("00.2", sys.exit).state == "wrong"


def test_an_interrupt_passes(monkeypatch):
    def interrupted(answer):
        raise KeyboardInterrupt

    monkeypatch.setitem(lesson_00.CHECKERS, "00.2", interrupted)
    with pytest.raises(KeyboardInterrupt):
        check("00.2", "local")


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Endless(list):
    def __iter__(self):
        raise Unprintable


def test_an_answer_that_cannot_be_looked_at_or_printed_is_wrong():
    assert check("00.2", Endless()).message.endswith("it gave Unprintable: its text cannot be shown")


def test_a_module_that_a_lessons_checkers_need_is_named_if_it_is_missing(monkeypatch, tmp_path):
    (tmp_path / "lesson_88.py").write_text("import not_installed_anywhere")
    package = sys.modules[lesson_00.__package__]
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        check("88.1", 1)


@pytest.mark.parametrize(("exercise", "says"), [("00.9", "known: 00.1, 00.2, 00.3"), ("77.1", "none"), (3, "none")])
def test_an_unknown_exercise_is_one_clear_error(exercise, says):
    with pytest.raises(ValueError, match=says):
        check(exercise, 1)


def test_a_guess_stands_beside_what_was_seen():
    lines = compare({"a": 1, "b": ..., "not asked": 3}, {"a": 2, "b": "x"}).splitlines()
    assert lines[0].split() == ["you", "guessed", "you", "saw"]
    assert [line.split() for line in lines[2:]] == [["a", "1", "2"], ["b", "-", "x"]]
    assert "-" in compare(..., {"a": 2})
