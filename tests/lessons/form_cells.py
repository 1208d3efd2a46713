"""The rules of a lesson's form for one cell: its language, its pictures, its code, its mark. Needs no Ray."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from klaw_course.notebook.marks import MARK

FENCE = re.compile(r"^[ \t]*(```|~~~).*?^[ \t]*\1[ \t]*$", re.S | re.M)
PICTURES = re.compile(r"!\[(?P<alt>[^]]*)\]\((?P<src>[^)\s]*)[^)]*\)|(?P<tag><img\b[^>]*>)", re.S)
EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u2712\u2714-\u2716\u2718-\u27bf\u2b50\ufe0f]")  # but for ✓ and ✗
# What only a private cluster, or at least a node on this machine, has: a cell that reads it says so with a mark, or
# asks itself whether the cluster is attached.
LOCAL = re.compile(r"\bhere\.(processes|session_dir|token)\b|\bpsutil\b|\braylet\.(out|err|log)\b")
# What gives a picture or a text to be shown.
SHOWN = re.compile(r"(show|life)\.\w+\(|compare\(|[\w.]+\.(plot|table|gantt|flame|side_by_side)\(")
SIMULATED = re.compile(r"\bhere\.(kill_node|add_node)\b")


class Cell:
    """A cell with what the rules ask about."""

    def __init__(self, number: int, raw: dict):
        self.raw = raw
        self.number = number
        self.where = f"cell {number} ({raw.get('id', 'no id')})"
        self.is_code = raw["cell_type"] == "code"
        self.source = raw["source"] if isinstance(raw["source"], str) else "".join(raw["source"])
        self.tags = raw.get("metadata", {}).get("tags", [])
        self.text = "" if self.is_code else FENCE.sub("", self.source)  # prose without fenced code
        self.headings = [(len(h[1]), h[2].strip()) for h in re.finditer(r"^(#{1,6})[ \t]+(.+)$", self.text, re.M)]


def pictures(cells: list[Cell], folder: Path):
    """Yield a sentence for each picture without a description or a file.

    Args:
        cells: all cells of a notebook.
        folder: where the notebook lies.
    """
    for cell in cells:
        for match in PICTURES.finditer(cell.text):
            alt, source = match["alt"], match["src"]
            if match["tag"]:
                alt, source = (_attribute(match["tag"], key) for key in ("alt", "src"))
            if len(alt.strip()) < 30:
                yield f"{cell.where}: the alt text {alt!r} of {source!r} has under 30 characters; tell what it shows."
            if re.match(r"[a-z]+:|/", source) or not (folder / source).is_file():
                yield f"{cell.where}: the picture {source!r} is not a file of the course; write ../images/x.svg."


def language(cells: list[Cell]):
    """Yield a sentence for each word that is left out in a lesson, and each cell that is no Python or sleeps long.

    Args:
        cells: all cells of a notebook.
    """
    for cell in cells:
        prose = re.sub(r"(`+).+?\1", "", cell.text, flags=re.S)  # without inline code
        prose = PICTURES.sub(lambda match: match["alt"] or "", prose)
        prose = re.sub(r"<!--.*?-->", "", prose, flags=re.S)
        for match in re.finditer(r"\b(just|simply)\b|!", prose, re.I):
            yield f"{cell.where}: the text has {match[0]!r} in {_around(prose, match)!r}; leave it out."
        for match in EMOJI.finditer(prose):
            yield f"{cell.where}: the text has the emoji {match[0]!r}; leave it out."
        if cell.is_code:
            yield from (f"{cell.where}: {problem}" for problem in _code(cell.source))


def _code(source: str):
    plain = "\n".join("" if re.match(r"\s*[%!?]", line) else line for line in source.splitlines())
    try:
        tree = compile(plain, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as error:
        yield f"it is not Python: {error.msg}."
        return
    for statement in tree.body[:-1]:
        if isinstance(statement, ast.Expr) and SHOWN.match(shown := ast.unparse(statement)):
            yield f"{shown[:40]!r} is not its last line, so nobody sees it; move it there, or print it."
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "sleep":
            seconds = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else 0
            if isinstance(seconds, (int, float)) and seconds >= 5:
                yield f"it sleeps {seconds:g} s; wait for the event instead, or for less than 5 s."


def marks(cells: list[Cell]) -> list[str]:
    """Say where cells lack the mark that they need, or have one that is not in order.

    Args:
        cells: all cells of a notebook.

    Returns:
        A sentence for each problem.
    """
    return [f"{cell.where}: {problem}" for cell in cells if cell.is_code for problem in _marks(cell)]


def _marks(cell: Cell):
    first, *others = cell.source.splitlines() or [""]
    mark = MARK.fullmatch(first)
    if re.match(r"\s*#\s*needs\b", first, re.I) and not mark:
        yield f"the mark {first!r} is not written like '# Needs a private cluster: it kills a node.'"
    if any(re.match(r"\s*#\s*needs\b", line, re.I) for line in others):
        yield "a mark is the first line of its cell; move it there, or begin the comment with another word."
    if mark and "setup" in cell.tags:
        yield "the setup cell has a mark; it always runs, so mark the cells that need the thing."
    code = "\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith("#"))
    if "skip_rest_unless" in code:
        yield "it calls skip_rest_unless; mark the cells that need what is missing, and the others run."
    if "setup" in cell.tags:
        return
    if (simulated := SIMULATED.search(code)) and not (mark and mark[1] == "simulated nodes"):
        yield f"it uses {simulated[0]}; begin it with '# Needs simulated nodes: ...'."
    elif (local := LOCAL.search(code)) and not (mark and mark[1] != "PyTorch") and "here.attached" not in code:
        yield f"it uses {local[0]}; begin it with '# Needs a private cluster: ...', or a node on this machine."


def _attribute(tag: str, name: str) -> str:
    match = re.search(rf"\b{name}=([\"'])(.*?)\1", tag, re.S)
    return match[2] if match else ""


def _around(text: str, match: re.Match) -> str:
    return " ".join(text[max(0, match.start() - 25) : match.end() + 25].split())
