"""Run one notebook attached to the cluster that KLAW_RAY_ADDRESS names, and print as JSON which cells ran.

python tests/lessons/run_attached.py notebooks/04_actors.ipynb
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

TEACHING = {"setup", "cleanup", "exercise"}  # cells with one of these tags do not count


def main(path: Path) -> dict:
    """Run it and count.

    Returns:
        ``ran`` and ``skipped``, the ids of teaching cells; ``error``, what stopped the run, or an empty text; ``said``,
        what the skipped cells printed; ``first`` and ``last``, what set-up and clean-up did.
    """
    notebook = nbformat.read(path, 4)
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources=where)
    error = ""
    try:
        client.execute()
    except CellExecutionError as stopped:
        error = str(stopped)[-3000:]
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    said = {cell.id: "".join(output.get("text", "") for output in cell.outputs) for cell in cells}
    teaching = [cell.id for cell in cells if not TEACHING & set(cell.metadata.get("tags", ()))]
    skipped = [name for name in teaching if said[name].startswith("Skipped")]
    setup = next(cell.id for cell in cells if "setup" in cell.metadata.get("tags", ()))
    return {
        "ran": [name for name in teaching if name not in skipped],
        "skipped": skipped,
        "error": error,
        "said": {name: said[name] for name in skipped},
        "first": said[setup],
        "last": said[cells[-1].id],
    }


if __name__ == "__main__":
    print("\n" + json.dumps(main(Path(sys.argv[1]).resolve())))
