"""What moves over time: items into and out of a buffer, and who was busy when."""

from __future__ import annotations

from klaw_course.show.base import BLUE, CARD, INK, VERMILLION, Picture, Text, card, style


def flow(panels: dict, title: str = "") -> Picture:
    """Draw what went into a buffer and what came out of it: two climbing steps, and between them what it holds.

    Args:
        panels: caption to the buffer's log, a list of (second, step): +n for n items in, -n for n items out. The
            panels share the axis of the items, and each begins with the first second of its log.
        title: a line above the panels.

    Raises:
        ValueError: there are no panels, or a log is empty.
    """
    if not panels or not all(panels.values()):
        raise ValueError("There is nothing to draw: no panel, or one without a log; log (second, step) for each item.")
    figure = card(3.4)
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (caption, log) in zip(all_axes, panels.items(), strict=True):
        seconds, sent, taken = _progress(log)
        axes.fill_between(seconds, taken, sent, step="post", color=BLUE, alpha=0.25, label="held")
        axes.step(seconds, sent, where="post", color=BLUE, label="in")
        axes.step(seconds, taken, where="post", color=VERMILLION, linestyle="--", label="out")
        style(axes, caption)
        axes.set_xlabel("seconds", color=INK, fontsize=9)
    all_axes[0].yaxis.get_major_locator().set_params(integer=True)
    all_axes[0].set_ylabel("items", color=INK, fontsize=9)
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3, fontsize=8.5, frameon=False)
    figure.suptitle(title, color=INK, fontsize=10)
    return Picture(figure, f"{title}. Items into and out of buffers over time.\n{flow_table(panels)}")


def flow_table(panels: dict) -> Text:
    """Write the numbers of ``flow``: a line for each panel."""
    from tabulate import tabulate

    body = []
    for caption, log in panels.items():
        seconds, sent, taken = _progress(log)
        held = max(into - out for into, out in zip(sent, taken, strict=True))
        last_in = max((second for second, (_, step) in zip(seconds[1:], log, strict=True) if step > 0), default=0.0)
        body.append([caption, sent[-1], taken[-1], held, f"{last_in:.2f}", f"{seconds[-1]:.2f}"])
    return Text(tabulate(body, ["", "in", "out", "most held", "last in at s", "ends at s"], disable_numparse=True))


def lanes(spans: dict, title: str = "") -> Picture:
    """Draw who was busy when: a lane for each name, a bar for each span, labelled where there is room.

    Args:
        spans: name to a list of (begin, end) or (begin, end, label), in seconds of one clock.
        title: a line above the picture.

    Raises:
        ValueError: there are no spans.
    """
    if not any(spans.values()):
        raise ValueError("There is nothing to draw: 0 spans; give each name a list of (begin, end).")
    began, ended = _extent([span for lane in spans.values() for span in lane])
    legible = 0.02 * (ended - began)
    figure = card(0.9 + 0.45 * len(spans))
    axes = figure.subplots()
    for y, lane in enumerate(spans.values()):
        for begin, end, *label in lane:
            axes.barh(y, end - begin, left=begin - began, height=0.6, color=BLUE, edgecolor=CARD, linewidth=0.8)
            text = str(*label) if end - begin > legible else ""
            axes.text((begin + end) / 2 - began, y, text, ha="center", va="center", color="white", fontsize=8)
    axes.set_yticks(range(len(spans)), list(spans))
    axes.invert_yaxis()
    axes.set_xlabel("seconds", color=INK, fontsize=9)
    style(axes, title)
    return Picture(figure, f"{title}. Who was busy when.\n{lanes_table(spans)}")


def lanes_table(spans: dict) -> Text:
    """Write the numbers of ``lanes``: each name's spans, when it began and ended, and how much of that it was busy."""
    from tabulate import tabulate

    zero, _ = _extent([span for lane in spans.values() for span in lane])
    body = []
    for name, lane in spans.items():
        if not lane:
            body.append([name, 0, None, None, None])
            continue
        begin, end = _extent(lane)
        busy = sum(span[1] - span[0] for span in lane)
        body.append([name, len(lane), begin - zero, end - zero, 100 * busy / (end - begin) if end > begin else 100])
    headers = ["", "spans", "from s", "to s", "busy %"]
    return Text(tabulate(body, headers, floatfmt=("", "d", ".2f", ".2f", ".0f"), missingval="-"))


def _extent(spans: list) -> tuple[float, float]:
    return min(span[0] for span in spans), max(span[1] for span in spans)


def _progress(log: list) -> tuple[list, list, list]:
    seconds, sent, taken = [0.0], [0], [0]
    for second, step in log:
        seconds.append(second - log[0][0])
        sent.append(sent[-1] + max(step, 0))
        taken.append(taken[-1] + max(-step, 0))
    return seconds, sent, taken
