"""Write the minutes to read into every notebook, into README.md and into SCHEDULE.md: ``make minutes``.

The minutes are computed from the text (``sizes``); those to run and to do stand in each lesson.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from form_cells import Cell
from sizes import minutes_to_read

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"(\*\*Minutes:\*\* read )(\d+)( · run (\d+)(?: · do (\d+))?)")
ROW = re.compile(r"^(\| \[[^]]*\]\(notebooks/(\w+)\.ipynb\) \|.*\| )[^|]*( \|)$", re.M)


def notebooks(root: Path = ROOT) -> list[Path]:
    """List the notebooks of the course: the lessons, then the deeper ones."""
    return [*sorted(root.glob("notebooks/*.ipynb")), *sorted(root.glob("notebooks/deeper/*.ipynb"))]


def promised(path: Path) -> tuple[int, int, int]:
    """Read from a notebook the minutes that it promises: to read, to run, to do."""
    said = LINE.search(path.read_text(encoding="utf-8"))
    return int(said[2]), int(said[4]), int(said[5] or 0)


def computed(path: Path) -> int:
    """Compute the minutes that a notebook takes to read."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return minutes_to_read([Cell(number, cell) for number, cell in enumerate(cells)])


def readme(root: Path = ROOT) -> str:
    """Give the text of README.md with the minutes that each lesson promises."""
    minutes = {
        path.stem: " + ".join(map(str, promised(path))) for path in notebooks(root) if path.parent.name != "deeper"
    }
    text = (root / "README.md").read_text(encoding="utf-8")
    return ROW.sub(lambda row: f"{row[1]}{minutes.get(row[2], '?')}{row[3]}", text)


def schedule(root: Path = ROOT) -> str:
    """Give the text of SCHEDULE.md: every lesson with its minutes, and how far a room is after each."""
    lines = [
        "# Schedule",
        "",
        "Minutes of each lesson to read, to run and to do its exercises, and the hours that have passed after it,",
        "without pauses. `make minutes` writes this file; what skipping saves stands at the end of each lesson.",
        "",
        "| Lesson | Read | Run | Do | Together | After it |",
        "|---|---|---|---|---|---|",
    ]
    passed = 0
    for path in notebooks(root):
        if path.parent.name != "deeper":
            minutes = promised(path)
            passed += sum(minutes)
            read, run, do = minutes
            lines.append(f"| {path.stem} | {read} | {run} | {do} | {sum(minutes)} | {passed // 60}:{passed % 60:02} |")
    return "\n".join(lines) + "\n"


def main(root: Path = ROOT) -> None:
    """Write all of it."""
    for path in notebooks(root):
        text = path.read_text(encoding="utf-8")
        path.write_text(LINE.sub(lambda said: f"{said[1]}{computed(path)}{said[3]}", text, count=1), encoding="utf-8")  # noqa: B023
    (root / "README.md").write_text(readme(root), encoding="utf-8")
    (root / "SCHEDULE.md").write_text(schedule(root), encoding="utf-8")


if __name__ == "__main__":
    main()
