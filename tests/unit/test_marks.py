"""Marks: which cells are skipped, and which rest on a skipped one; first as a function, then in a real shell."""

from __future__ import annotations

import ast

import pytest
from IPython.core.interactiveshell import InteractiveShell

from klaw_course.notebook.marks import MARK, THINGS, Marks, install, remove

KILL = "# Needs a private cluster: it kills the node.\n"


def ran(*cells: str, lacks: bool = True) -> list[bool]:
    """Which of the cells run, one after the other, where everything that a mark can name is missing, or nothing."""
    marks = Marks({thing: lambda: lacks for thing in THINGS})
    return [not marks.why_skipped(cell, ast.parse(cell)) for cell in cells]


@pytest.mark.parametrize("thing", THINGS)
def test_a_marked_cell_is_skipped_where_the_thing_is_missing_only(thing):
    cell = f"# Needs {thing}: it says why.\nx = 1"
    assert ran(cell) == [False]
    assert ran(cell, lacks=False) == [True]


def test_the_sentence_says_what_is_needed_and_why_and_what_rests_on_it():
    marks = Marks({thing: lambda: True for thing in THINGS})
    cell = KILL + "dead = 1"
    assert marks.why_skipped(cell, ast.parse(cell)) == "Skipped. This cell needs a private cluster: it kills the node."
    later = marks.why_skipped("print(dead)", ast.parse("print(dead)"))
    assert later == "Skipped, too: 'dead' comes from a cell that needs a private cluster."


@pytest.mark.parametrize(
    "text",
    [
        "# needs a private cluster: no.",
        "# Needs a cluster: no.",
        "# Needs PyTorch",
        "x = 1\n" + KILL,
        "# Needs PyTorch:  ",
    ],
)
def test_what_is_no_mark_is_not_taken_for_one(text):
    assert not MARK.match(text)


RESTS = [
    ("dead = 1", "print(dead)"),
    ("dead = 1", "def f():\n    return dead"),
    ("dead = 1", "f = lambda: dead"),
    ("dead = 1", "[dead for _ in range(2)]"),
    ("dead = 1", "assert dead == 1"),
    ("dead = 1", "dead += 1"),
    ("dead = 1", "x = dead\ndead = 2"),
    ("dead = 1", "if x:\n    dead = 2\nprint(dead)"),
    ("dead = 1", "for x in dead:\n    print(x)"),
    ("dead = 1", "for dead in dead:\n    pass"),
    ("dead = 1", "for x in y:\n    print(dead)"),
    ("dead = 1", "with dead as x:\n    pass"),
    ("dead, alive = 1, 2", "print(alive)"),
    ("for dead in range(3): pass", "print(dead)"),
    ("with open('x') as dead: pass", "print(dead)"),
    ("import dead", "dead.x"),
    ("def dead(): pass", "dead()"),
    ("class Dead: pass", "Dead()"),
    ("seen['a'] = 1", "print(seen)"),
    ("seen.a.b = 1", "print(seen)"),
    ("seen |= {}", "print(seen)"),
    ("if (dead := 1): pass", "print(dead)"),
    ("del dead", "print(dead)"),
    ("try:\n    dead = 1\nexcept ValueError as e:\n    other = 2", "print(other)"),
]


@pytest.mark.parametrize(("skipped", "later"), RESTS)
def test_what_reads_a_name_of_a_skipped_cell_is_skipped(skipped, later):
    assert ran(KILL + skipped, later) == [False, False]


FREE = [
    ("dead = 1", "print(alive)"),
    ("dead = 1", "dead = 2\nprint(dead)"),
    ("dead = 1", "def f(dead):\n    return dead"),
    ("dead = 1", "f = lambda dead: dead"),
    ("dead = 1", "[dead for dead in range(2)]"),
    ("dead = 1", "def f():\n    dead = 2\n    return dead"),
    ("def f():\n    dead = 1", "print(dead)"),
    ("x = [dead for dead in range(2)]", "print(dead)"),
    ("dead = 1", "thing.dead"),
    ("dead = 1", "for dead in range(2):\n    print(dead)"),
    ("dead = 1", "for x in y:\n    dead = x\n    print(dead)"),
    ("dead = 1", "with x as dead:\n    print(dead)"),
    ("dead = 1", "f(dead=1)"),
]


@pytest.mark.parametrize(("skipped", "later"), FREE)
def test_what_does_not_read_it_runs(skipped, later):
    assert ran(KILL + skipped, later) == [False, True]


def test_a_name_counts_again_once_a_cell_that_ran_has_set_it():
    assert ran(KILL + "x = 1", "x", "x = 2", "x") == [False, False, True, True]
    assert ran(KILL + "x = 1", "if y:\n    x = 2", "x") == [False, True, False]


def test_what_rests_on_a_skipped_cell_passes_it_on():
    assert ran(KILL + "x = 1", "y = x", "z = y", "w = 1") == [False, False, False, True]


@pytest.fixture
def shell():
    made = InteractiveShell()
    yield made
    remove(made)


def test_a_shell_skips_says_so_and_is_put_back(shell, capsys):
    install(shell, Marks({thing: lambda: True for thing in THINGS}))
    shell.run_cell(KILL + "x = 1")
    shell.run_cell("y = x")
    shell.run_cell("z = 3")
    assert "Skipped. This cell needs a private cluster" in capsys.readouterr().out
    assert "x" not in shell.user_ns and "y" not in shell.user_ns and shell.user_ns["z"] == 3
    remove(shell)
    remove(shell)
    shell.run_cell(KILL + "x = 1")
    assert shell.user_ns["x"] == 1


def test_installing_twice_leaves_one(shell, capsys):
    for _ in range(2):
        install(shell, Marks({thing: lambda: True for thing in THINGS}))
    shell.run_cell(KILL + "x = 1")
    assert capsys.readouterr().out.count("Skipped") == 1
