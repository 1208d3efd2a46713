"""What an interrupted cell held, in a real kernel. No Ray."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

SETUP = """
import weakref
from IPython import get_ipython
from klaw_course.notebook import interrupts

class Handle:
    pass

def fail(handles):
    raise {failure}

def work(handles):
    global alive
    alive = weakref.ref(handles[0])
    return [fail([handle for handle in handles]) for _ in range(2)]
"""
INSTALL, REMOVE = "interrupts.install(get_ipython())", "interrupts.remove(get_ipython())"


@pytest.mark.parametrize(
    ("failure", "before", "wanted"),
    [
        ("KeyboardInterrupt", [INSTALL, INSTALL], "True"),
        ("ValueError", [INSTALL], "False"),  # for %debug
        ("KeyboardInterrupt", [INSTALL, INSTALL, REMOVE, REMOVE], "False"),
    ],
)
def test_only_what_an_interrupted_cell_held_is_let_go(failure, before, wanted):
    codes = [SETUP.format(failure=failure), *before, "work([Handle()])", "alive() is None"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in codes])
    NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True).execute()
    assert notebook.cells[-1].outputs[0]["data"]["text/plain"] == wanted
