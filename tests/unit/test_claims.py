"""A failed claim in real kernels: what the learner reads, and that the cell fails as before. No Ray."""

from __future__ import annotations

import sys

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from klaw_course.notebook import claims

CLAIM = """
placed = {"a": 3}
assert placed == {
    "a": 2,
}, "six tasks: two on each node"
"""


def run(*codes: str) -> list:
    """Run cells in a new kernel, the ones that fail too, and return the cells."""
    cells = [nbformat.v4.new_code_cell(code) for code in ("from klaw_course.notebook import claims", *codes)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True).execute()
    return notebook.cells[1:]


def printed(cell) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def errors(cell) -> list:
    return [output for output in cell.outputs if output.output_type == "error"]


@pytest.fixture(scope="module")
def cells():
    ends_below = "def outer():\n    inner()\n\ndef inner():\n    assert 1 > 2, 'one is less'\n\nouter()"
    library = "import threading\nthreading.Thread(group='one')"  # which it asserts not to be given
    bare, magic, awaited = (
        "assert False",
        "%time x = 1\nassert x == 2",
        "import asyncio\nawait asyncio.sleep(0)\nassert 0",
    )
    names = ["install", "claim", "below", "library", "bare", "magic", "awaited", "other", "removed"]
    codes = ["claims.install()", CLAIM, ends_below, library, bare, magic, awaited, "1 / 0"]
    codes.append("claims.install()\nclaims.remove()\nclaims.remove()\n" + CLAIM)
    return dict(zip(names, run(*codes), strict=True))


def test_a_failed_claim_is_read_aloud(cells):
    text = printed(cells["claim"])
    assert '    placed == {\n        "a": 2,\n    }\n    -> six tasks: two on each node\n' in text
    for part in ("your run differed", "busy machine", "version", "Run the cell again", "go on"):
        assert part in " ".join(text.split()).replace("Your", "your"), text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_the_cell_fails_as_before_and_shows_the_line(cells):
    (error,) = errors(cells["claim"])
    assert (error.ename, error.evalue) == ("AssertionError", "six tasks: two on each node")
    assert "six tasks" in "".join(error.traceback) and "Cell" in "".join(error.traceback)


def test_in_the_suite_it_is_an_error(cells):
    codes = ["from klaw_course.notebook import claims; claims.install(); claims.install()", CLAIM]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in codes])
    with pytest.raises(CellExecutionError, match="six tasks: two on each node"):
        NotebookClient(notebook, timeout=60, kernel_name="python3").execute()


def test_only_the_frame_of_the_claim_is_shown(cells):
    (error,) = errors(cells["below"])
    trace = "".join(error.traceback)
    assert "inner" in trace and "outer" not in trace
    assert "    1 > 2\n    -> one is less" in printed(cells["below"])


@pytest.mark.parametrize(("name", "claim"), [("bare", "False"), ("magic", "x == 2"), ("awaited", "0")])
def test_a_claim_is_found_in_every_kind_of_cell(cells, name, claim):
    assert f"your run:\n\n    {claim}\n\n" in printed(cells[name])
    assert len(errors(cells[name])) == 1


@pytest.mark.parametrize("name", ["library", "other", "removed"])
def test_other_errors_are_shown_as_ever(cells, name):
    assert "claim" not in printed(cells[name])
    (error,) = errors(cells[name])
    assert "Traceback (most recent call last)" in "".join(error.traceback)


def test_what_was_there_before_is_put_back():
    code = """
    get_ipython().set_custom_exc((KeyError,), lambda *args, **more: print("mine"))
    before = get_ipython().CustomTB, get_ipython().custom_exceptions
    claims.install(), claims.install(), claims.remove()
    print((get_ipython().CustomTB, get_ipython().custom_exceptions) == before)
    """
    (cell,) = run(code)
    assert printed(cell).endswith("True\n") and not errors(cell)


def test_outside_ipython_nothing_happens(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    claims.install()
    claims.remove()
