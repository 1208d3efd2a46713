"""A learner's copies of the lessons, in ``work/``: made from ``notebooks/``, and kept when the course is updated.

    python -m klaw_course.notebook fill        copy what is not there yet (make lab)
    python -m klaw_course.notebook reset 03    make one copy anew, and keep the old one (make reset LESSON=03)

A copy knows what it was made from: its metadata holds the name of the lesson and a digest of the lesson's cells, and
Jupyter keeps both when it saves. A copy with which nothing was done yet follows the course; any other stays.
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEY = "klaw"  # in the notebook's metadata


def fill(root: Path = ROOT) -> str:
    """Copy the lessons that ``work/`` lacks, and renew the copies with which nothing was done yet.

    Args:
        root: the folder of the course.

    Returns:
        A sentence about what was copied.

    Raises:
        OSError: ``work/`` cannot be written.
        ValueError: the course has no lessons here, or one of them is no notebook.
    """
    copied = renewed = 0
    for name, lesson in _lessons(root).items():
        copy = _copy_of(name, root)
        if not copy.exists():
            _make(lesson, name, copy)
            copied += 1
        elif _is_unused(copy) and _digest(_read(copy)) != _digest(_read(lesson)):
            _make(lesson, name, copy)
            renewed += 1
    return f"work/ has your copies of the lessons: {copied} new, {renewed} renewed, the others as you left them."


def reset(lesson: str, root: Path = ROOT) -> str:
    """Make the copy of one lesson anew. The old copy is kept beside it, with the date in its name.

    Args:
        lesson: its number, such as ``"03"`` or ``"deeper/03"``, or its name without ``.ipynb``.
        root: the folder of the course.

    Returns:
        A sentence that names both files.

    Raises:
        OSError: ``work/`` cannot be written.
        ValueError: there is no such lesson, or it is no notebook.
    """
    lessons = _lessons(root)
    wanted = lesson.strip().removesuffix(".ipynb")
    wanted = wanted.zfill(2) if wanted.isdigit() else wanted
    found = [name for name in lessons if wanted and (name == wanted or name.startswith(f"{wanted}_"))]
    if not found:
        numbers = ", ".join(_number(name) for name in lessons)
        problem = f"There is no lesson {lesson!r}" if wanted else "No lesson is named"
        raise ValueError(f"{problem}; write make reset LESSON=03, with one of: {numbers}.")
    copy = _copy_of(found[0], root)
    new = _as_copy(lessons[found[0]], found[0])  # read before the old copy is moved
    said = f"{copy.relative_to(root)} is the lesson as it is now"
    if copy.exists() and not _is_unused(copy):
        said += f"; your old one is {_move_aside(copy).relative_to(root)}"
    _write(new, copy)
    return f"{said}. If it is open in JupyterLab: File > Reload Notebook from Disk."


def changed_since_copied(path: str | Path | None = None, root: Path = ROOT) -> str | None:
    """Tell whether the lesson has changed since a copy was made.

    Args:
        path: the copy; the default is the notebook of this kernel, where Jupyter tells which that is.
        root: the folder of the course.

    Returns:
        A sentence for the learner; ``None`` if the copy is up to date, or is no copy that ``fill`` or ``reset`` made.
    """
    path = Path(path or os.environ.get("JPY_SESSION_NAME", ""))  # the server gives a kernel its notebook's full path
    try:
        made_from = _read(path)["metadata"][KEY]
        name, digest = made_from["lesson"], made_from["digest"]
        lesson = _lessons(root).get(name)
        now = lesson and _digest(_read(lesson))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no notebook, a notebook of another kind, or no folder of lessons: nothing to say about a lesson
    if lesson is None:
        return f"The course has no lesson {name} any more, or it has another name; this copy stays as it is."
    if now == digest:
        return None
    return (
        f"This lesson has changed since your copy was made: `make reset LESSON={_number(name)}` in the course's folder "
        "gets the new one, and keeps yours with the date in its name."
    )


def _lessons(root: Path) -> dict[str, Path]:
    """Name of a lesson, such as ``03_scheduling`` or ``deeper/03_scheduling``, to its file."""
    folder = root / "notebooks"
    files = [*sorted(folder.glob("[0-9][0-9]_*.ipynb")), *sorted(folder.glob("deeper/[0-9][0-9]_*.ipynb"))]
    if not files:
        raise ValueError(f"There are no lessons in {folder}; install the course with pip install -e . in its folder.")
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def _number(name: str) -> str:
    return name.partition("_")[0]


def _copy_of(name: str, root: Path) -> Path:
    return root / "work" / f"{name}.ipynb"


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{path} is no notebook; if you changed it, get it back with: git checkout {path}") from None


def _digest(notebook: dict) -> str:
    """What changes if a cell's text does: outputs and metadata do not count."""
    cells = [[cell["cell_type"], "".join(cell["source"])] for cell in notebook["cells"]]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:16]


def _is_unused(copy: Path) -> bool:
    """Whether nothing was written or run in a copy."""
    try:
        notebook = _read(copy)
        ran = any(cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"])
        return not ran and notebook["metadata"][KEY]["digest"] == _digest(notebook)
    except (ValueError, KeyError, TypeError):
        return False


def _as_copy(lesson: Path, name: str) -> str:
    notebook = _read(lesson)
    notebook["metadata"][KEY] = {"lesson": name, "digest": _digest(notebook)}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _make(lesson: Path, name: str, copy: Path) -> None:
    _write(_as_copy(lesson, name), copy)


def _write(text: str, path: Path) -> None:
    """Write a file whole or not at all: half a copy would be taken for the learner's own work."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def _move_aside(copy: Path) -> Path:
    now = datetime.now()
    names = [
        f"{copy.stem}.{now.strftime(form)}.ipynb" for form in ("%Y-%m-%d", "%Y-%m-%d-%H%M%S", "%Y-%m-%d-%H%M%S.%f")
    ]
    backup = next(copy.with_name(name) for name in names if not copy.with_name(name).exists())
    return copy.rename(backup)
