"""A flame graph: which of your functions a profiler found running, and who had called them."""

from __future__ import annotations

from collections import Counter

from klaw_course.observe.stacks import Frame, Stacks, own, table, yours
from klaw_course.show.base import BLUE, CARD, INK, VERMILLION, Picture, card, style

_LABELLED = 12  # per cent; a narrower bar has no room for its name


def flame(stacks: Stacks, title: str = "") -> Picture:
    """Draw stacks as bars: one row for each depth of calls, callers above, as wide as their share of the samples.

    Samples in which none of your functions ran, and the frames of Ray and of libraries, are left out. The line that was
    running itself most often is vermillion and hatched. ``klaw_course.observe.stacks.table`` gives the numbers.

    Args:
        stacks: what was sampled: tuples of frames, outermost first, with a count each.
        title: a line above the picture.

    Raises:
        ValueError: in no sample was one of your functions running.
    """
    hottest = next(iter(own(stacks)), None)
    if hottest is None:
        raise ValueError("There is nothing to draw: in no sample was one of your functions running.")
    bars = layout(stacks)
    rows = 1 + max(depth for depth, *_ in bars)
    figure = card(0.9 + 0.5 * rows)
    axes = figure.subplots()
    for depth, left, width, frame in bars:
        hot = frame == hottest
        look = dict(facecolor=VERMILLION, hatch="//") if hot else dict(facecolor=BLUE)
        axes.barh(depth, width, left=left, height=0.94, edgecolor=CARD, linewidth=0.8, **look)
        if width >= _LABELLED:
            ground = dict(facecolor=VERMILLION, edgecolor="none", pad=1) if hot else None
            text = f"{frame.function}\nline {frame.line} · {width:.0f} %"
            axes.text(left + width / 2, depth, text, ha="center", va="center", color="white", fontsize=9, bbox=ground)
    style(axes, title)
    axes.set_yticks([])
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel(
        "% of the samples in your functions. Callers are above; hatched: the line that ran most often", color=INK
    )
    axes.xaxis.label.set_size(9)
    return Picture(figure, f"{title}. A flame graph, callers above what they call.\n{table(stacks)}")


def layout(stacks: Stacks) -> list[tuple[int, float, float, Frame]]:
    """Give (depth, left edge, width, frame) for each bar, in per cent of your functions' samples, wide bars first."""
    samples = sum(own(stacks).values())
    placed = []

    def place(part: Stacks, depth: int, left: float) -> None:
        children = Counter()
        for frames, count in part.items():
            if frames:
                children[frames[0]] += count
        for frame, count in children.most_common():
            width = 100 * count / samples
            placed.append((depth, left, width, frame))
            below = {frames[1:]: n for frames, n in part.items() if frames[:1] == (frame,)}
            place(below, depth + 1, left)
            left += width

    place(yours(stacks), 0, 0.0)
    return placed
