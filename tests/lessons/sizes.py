"""How large a notebook is, and how large it may be. The new edition's sizes are its design; nothing raises them."""

from __future__ import annotations

import math
import re
import statistics
from dataclasses import dataclass

from form_cells import Cell

NOT_READ = {"setup", "exercise", "cleanup"}  # tags of code cells that do not count as lines to read
WORDS_A_MINUTE, LINES_A_MINUTE = 130, 6
FAR = 10**9
# Lessons that were not cut anew yet; the issues that do so take them out. They keep the first edition's form and sizes.
FIRST_EDITION = {"03_scheduling", "04_actors", "06_memory_leak", "10_transport"}


@dataclass(frozen=True)
class Sizes:
    """The limits of a kind of notebook; ``measure`` gives the figures. Lines do not count comments and blank ones."""

    cells: tuple[int, int]
    words: tuple[int, int] = (0, FAR)
    code_lines: int = FAR
    median: float = FAR
    longest: int = FAR
    words_a_line: float = 0
    code_in_a_row: int = FAR
    minutes: float = FAR
    width: int = FAR
    episodes: tuple[int, int] = (3, 5)


FIRST = Sizes(cells=(40, 90), words=(1000, 2300), median=11, longest=20, episodes=(4, 10))
LESSON = Sizes(
    cells=(1, 50), words=(900, 1600), code_lines=140, median=5, longest=12, words_a_line=7, code_in_a_row=2, minutes=30,
    width=80,
)  # fmt: skip
DEEPER = Sizes(cells=(1, 70), median=7, longest=15, width=80, episodes=(1, 8))


def measure(cells: list[Cell]) -> dict[str, float]:
    """Count the words of text (folded parts too, code not), the lines of code that are read, and what follows of both.

    Args:
        cells: all cells of a notebook.
    """
    lengths, words, row, longest_row = [], 0, 0, 0
    for cell in cells:
        if cell.is_code:
            row += 1
            longest_row = max(longest_row, row)
            if not NOT_READ & set(cell.tags):
                lines = [line.strip() for line in cell.source.splitlines()]
                lengths.append(sum(bool(line) and not line.startswith("#") for line in lines))
        else:
            row = 0
            words += len(re.findall(r"\w[\w'.-]*", re.sub(r"<[^>]+>", " ", cell.text)))
    return {
        "cells": len(cells),
        "words": words,
        "code_lines": sum(lengths),
        "median": statistics.median(lengths or [0]),
        "longest": max(lengths, default=0),
        "words_a_line": words / max(1, sum(lengths)),
        "code_in_a_row": longest_row,
        "minutes": words / WORDS_A_MINUTE + sum(lengths) / LINES_A_MINUTE,
        "width": max((len(line) for cell in cells if cell.is_code for line in cell.source.splitlines()), default=0),
    }


def minutes_to_read(cells: list[Cell]) -> int:
    """Give the whole minutes that a notebook takes to read."""
    return math.ceil(measure(cells)["minutes"])


def too_large(cells: list[Cell], allowed: Sizes):
    """Yield a sentence for each size that a notebook passes, or does not reach.

    Args:
        cells: all cells of a notebook.
        allowed: its limits.
    """
    found = measure(cells)
    for what in ("cells", "words"):
        least, most = getattr(allowed, what)
        if not least <= found[what] <= most:
            limits = f"{least} to {most}" if most < FAR else f"{least} at least"
            yield f"there are {found[what]} {what}; a lesson has {limits}."
    for what, said in {
        "code_lines": "lines of code outside set-up and exercises",
        "median": "lines in the median of code cells",
        "longest": "lines in the longest code cell",
        "code_in_a_row": "code cells without a text between them",
        "minutes": "minutes to read",
        "width": "characters in the longest line of code",
    }.items():
        if found[what] > getattr(allowed, what):
            yield f"there are {found[what]:.4g} {said}; {getattr(allowed, what):g} are the most."
    if found["words_a_line"] < allowed.words_a_line:
        yield f"there are {found['words_a_line']:.1f} words for a line of code; {allowed.words_a_line:g} are the least."
