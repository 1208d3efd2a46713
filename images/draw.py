"""Draws the SVG pictures of the course.

Why this exists: the notebooks show a few diagrams of Ray's inner parts. Drawing them from one small script keeps
their colours, fonts and wording alike, makes a change reviewable as text, and lets a test prove that the files on
disk are the ones this script draws. Python's standard library is enough; the same script always draws the same bytes.

    python images/draw.py           # rewrite every SVG next to this script
    python images/draw.py --check   # exit 1 and name each file that differs from what would be drawn

The facts are those of Ray 2.60. Licence of the pictures: CC-BY-4.0.
"""

from __future__ import annotations

import sys
from html import escape
from math import hypot
from pathlib import Path

INK, CARD, EDGE, WHITE = "#222222", "#FBFAF7", "#D8D5CC", "#FFFFFF"
# Okabe-Ito colours, each with a light tint for fills.
GREEN, BLUE, RED, PURPLE, GREY = "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"
TINT = {GREEN: "#E3F4EE", BLUE: "#E2EFF7", RED: "#FBEBDF", PURPLE: "#F8ECF3", GREY: "#F0F0EE"}
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
DASH, DOTS = "7 4", "2 4"


class Picture:
    """A light card that parts are drawn on, in order: what comes later lies on top."""

    def __init__(self, width: int, height: int, title: str, desc: str) -> None:
        size, inner = f'width="{width}" height="{height}"', f'width="{width - 2}" height="{height - 2}"'
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {size} role="img"',
            f'  font-family="{FONT}" fill="{INK}">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(desc)}</desc>",
            f'<rect x="1" y="1" {inner} rx="14" fill="{CARD}" stroke="{EDGE}" stroke-width="2"/>',
        ]
        self.text(24, 36, title, size=17, bold=True)

    def svg(self) -> str:
        return "\n".join([*self.parts, "</svg>"]) + "\n"

    def text(self, x: float, y: float, *lines: str, size=13, anchor="start", bold=False, color=INK, step=17) -> None:
        """One line of text per string; y is the first line's baseline."""
        more = f' font-weight="{700 if bold else 400}" text-anchor="{anchor}" fill="{color}"'
        for i, line in enumerate(lines):
            self.parts.append(f'<text x="{x:g}" y="{y + i * step:g}" font-size="{size}"{more}>{escape(line)}</text>')

    def box(self, x, y, w, h, head="", *lines, color=GREY, fill="", dash="", rx=8, thick=1.8) -> None:
        """A labelled rectangle: a bold head at the top, further lines below it, all centred."""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{rx}" fill="{fill or TINT[color]}" '
            f'stroke="{color}" stroke-width="{thick}" stroke-dasharray="{dash or "none"}"/>'
        )
        if head:
            self.text(x + w / 2, y + 20, head, size=14, bold=True, anchor="middle")
        self.text(x + w / 2, y + 39, *lines, anchor="middle")

    def cell(self, x, y, w, h, *lines, color=GREY, dash="", size=13) -> None:
        """A small white box inside another one: its lines are centred both ways."""
        self.box(x, y, w, h, color=color, fill=WHITE, dash=dash, rx=3, thick=1.2)
        self.text(x + w / 2, y + h / 2 + 4.5 - 8 * (len(lines) - 1), *lines, size=size, anchor="middle", step=16)

    def cylinder(self, x, y, w, h, *lines, color=GREEN, dash="") -> None:
        """A store in shared memory."""
        style = f'stroke="{color}" stroke-width="1.8" stroke-dasharray="{dash or "none"}"'
        self.parts.append(
            f'<path d="M{x:g} {y + 8:g} v{h - 16:g} a{w / 2:g} 8 0 0 0 {w:g} 0 v{16 - h:g}" fill="{WHITE}" {style}/>'
        )
        self.parts.append(
            f'<ellipse cx="{x + w / 2:g}" cy="{y + 8:g}" rx="{w / 2:g}" ry="8" fill="{TINT[color]}" {style}/>'
        )
        self.text(x + w / 2, y + h / 2 + 12 - 8 * (len(lines) - 1), *lines, anchor="middle", step=16)

    def line(self, *points, color=INK, dash="", thick=1.8) -> None:
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{thick}" '
            f'stroke-dasharray="{dash or "none"}"/>'
        )

    def arrow(self, *points, color=INK, dash="", both=False) -> None:
        """A line through the points with a head at its end, or at both ends."""
        self.line(*points, color=color, dash=dash)
        ends = [(points[-2], points[-1])] + ([(points[1], points[0])] if both else [])
        for (x0, y0), (x, y) in ends:
            length = hypot(x - x0, y - y0)
            u, v = (x - x0) / length, (y - y0) / length
            corners = [(x, y), *((x - 10 * u - k * v, y - 10 * v + k * u) for k in (5, -5))]
            shape = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
            self.parts.append(f'<polygon points="{shape}" fill="{color}"/>')

    def number(self, x: float, y: float, n: int, color=INK) -> None:
        """A step's number in a circle."""
        self.parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="10" fill="{WHITE}" stroke="{color}" stroke-width="1.8"/>')
        self.text(x, y + 4.5, str(n), size=12, bold=True, anchor="middle")

    def legend(self, x: float, y: float, *sentences: str, step=25) -> None:
        """One numbered sentence per line."""
        for i, sentence in enumerate(sentences):
            self.number(x, y + i * step, i + 1)
            self.text(x + 20, y + i * step + 4.5, sentence, size=14)


def cluster_anatomy() -> str:
    p = Picture(
        780,
        706,
        "Anatomy of a Ray cluster",
        "Two machines side by side. The head node runs the GCS, the dashboard, the autoscaler and the driver, and, as "
        "every node does, one raylet with the object store inside it, worker processes, two agents and a log monitor. "
        "The worker node has no GCS, no dashboard and no autoscaler. Arrows: each raylet and the GCS tell one another "
        "what is free; the driver asks a raylet for a worker; the driver sends the task straight to the worker; "
        "object stores copy objects from node to node.",
    )
    p.box(16, 54, 420, 500, color=GREY, fill=WHITE, rx=12, thick=2.4)
    p.text(32, 80, "HEAD NODE", size=15, bold=True)
    p.text(138, 80, "runs tasks, too", size=14)
    p.box(480, 54, 284, 500, color=GREY, fill=WHITE, rx=12, thick=2.4)
    p.text(496, 80, "WORKER NODE", size=15, bold=True)

    p.box(32, 94, 160, 52, "dashboard", "web pages", color=PURPLE, dash=DASH)
    p.box(32, 156, 160, 52, "autoscaler", "asks for more nodes", color=PURPLE, dash=DASH)
    p.box(
        208,
        94,
        212,
        114,
        "GCS",
        "Global Control Service:",
        "knows the nodes, keeps",
        "your functions' code",
        color=BLUE,
        thick=3,
    )
    p.text(674, 124, "no GCS,", "no dashboard,", "no autoscaler", anchor="middle", step=18)

    p.box(32, 254, 148, 92, "driver", "your notebook:", "submits tasks", color=RED)
    for x, w in ((236, 184), (496, 252)):
        p.box(x, 254, w, 116, "raylet", "lends out workers", color=GREEN, rx=18)
        p.cylinder(x + 12, 304, w - 24, 56, "object store")
    for x, w, number in ((32, 184, 1), (236, 184, 2), (496, 120, 3), (628, 120, 4)):
        p.box(x, 400, w, 34, f"worker {number}", color=RED)
    for x, w in ((32, 388), (496, 252)):
        for row, name in enumerate(("agent (dashboard)", "agent (runtime environments)", "log monitor")):
            p.cell(x, 448 + 32 * row, w, 28, name, color=PURPLE, dash=DASH)

    p.arrow((328, 208), (328, 254), color=BLUE, both=True)
    p.number(328, 231, 1)
    p.arrow((420, 150), (560, 150), (560, 254), color=BLUE, both=True)
    p.number(560, 204, 1)
    p.arrow((180, 299), (236, 299), color=RED)
    p.number(206, 299, 2)
    p.arrow((106, 346), (106, 400), color=RED)
    p.number(106, 371, 3)
    p.arrow((408, 336), (508, 336), color=GREEN, both=True)
    p.number(458, 336, 4)
    p.legend(
        36,
        582,
        "Each raylet tells the GCS what is free on its node, and learns what is free on the others.",
        "The driver asks a raylet for a worker.",
        "The driver sends the task straight to that worker, which may also be one on another node.",
        "Object stores copy results from node to node, where they are needed.",
    )
    p.text(
        56, 686.5, "A cluster has one head node and any number of worker nodes. Worker processes come and go.", size=14
    )
    return p.svg()


def task_life(part: int) -> str:
    """One picture in three steps: each part adds what an episode of lesson 01 has shown to the part before it."""
    heads = ("a new worker's first task", "its value", "from f.remote() to ray.get")
    tells = (
        "The driver pickles f and exports it to the GCS. The raylet lends a worker, and starts one if none is idle. In "
        "its first task the worker fetches f's code, runs f and loads modules.",
        "In addition an ObjectRef comes back at once; the worker replies to the driver with the value, and ray.get "
        "returns it.",
        "In addition the driver, which owns the result, waits for the task's arguments, asks the raylet for a worker, "
        "gets a lease on one and pushes the task straight to it. At the left, the task's states: PENDING_ARGS_AVAIL, "
        "PENDING_NODE_ASSIGNMENT, SUBMITTED_TO_WORKER, RUNNING, FINISHED.",
    )
    whole = part == 3
    lends = "grants a lease on a worker" if whole else "lends a worker"
    steps = {
        1: "At the first f.remote(), the driver pickles f and exports it to the GCS (Global Control Service).",
        2: "f.remote() returns an ObjectRef immediately.",
        3: "The owner, here the driver, waits until the task's arguments exist.",
        4: "Unless it still holds a lease from an earlier task, the owner asks a raylet for a worker.",
        5: f"Once the task's CPUs are free, the raylet {lends}, and starts one if none is idle.",
        6: "The owner pushes the task straight to that worker.",
        7: "For its first task of f, the worker fetches the code from the GCS.",
        8: "The worker runs f. Before it pickles or unpickles its first value, it loads modules.",
        9: "The worker replies with the value, if it is small. Lesson 02 is about large values.",
        10: "ray.get returns the value.",
    }
    seen = ((1, 5, 7, 8), (1, 2, 5, 7, 8, 9, 10), tuple(steps))[part - 1]
    number = {n: place for place, n in enumerate(seen, 1)}
    below = {1: 138, 2: 30, 3: 54, 4: 36, 5: 58, 6: 74 if whole else 42, 7: 36, 8: 36, 9: 52, 10: 40}  # the step above
    y, height = {}, 0
    for n, gap in below.items():
        height += gap if n in (*seen, 6) else 0
        y[n] = height
    first, apart = (296, 145) if whole else (84, 205)  # in the whole picture the states are left of the lanes
    driver, gcs, raylet, worker = (first + apart * lane for lane in range(4))
    bottom = y[8] + 60 if part == 1 else y[10] + 22
    title = f"The life of a task, part {part}: {heads[part - 1]}"
    p = Picture(820, bottom + 44 + 25 * len(seen), title, " ".join(tells[:part]))
    for x, name, does, color in (
        (driver, "driver", "the owner" if whole else "your notebook", RED),
        (gcs, "GCS", "keeps the code", BLUE),
        (raylet, "raylet", "lends workers", GREEN),
        (worker, "worker", "runs the task", RED),
    ):
        p.line((x, 102), (x, bottom), color=color, dash=DOTS, thick=1.4)
        p.box(x - 62, 54, 124, 48, name, does, color=color, rx=18 if color == GREEN else 8)
    end = y[9] + 8 if part > 1 else bottom - 8
    p.box(worker - 6, y[6] - 8, 12, end - y[6] + 8, color=RED, rx=2, thick=1.4)

    def message(n, y, start, end, *words, color=RED, dash="") -> None:
        """A numbered arrow from lane to lane; its words stand above it, beside the lane where it begins."""
        p.arrow((start, y), (end, y), color=color, dash=dash)
        if n:
            p.number(start, y, number[n])
        x, anchor = (start + 18, "start") if end > start else (start - 18, "end")
        p.text(x, y - 7 - 16 * (len(words) - 1), *words, size=14, anchor=anchor, step=16)

    def at_driver(n, words) -> None:
        p.number(driver, y[n], number[n])
        p.text(driver + 18, y[n] + 5, words, size=14)

    message(1, y[1], driver, gcs, "pickled f")
    if part > 1:
        p.line((driver, y[2]), (driver + 24, y[2]), (driver + 24, y[2] + 22), color=RED)
        p.arrow((driver + 24, y[2] + 22), (driver, y[2] + 22), color=RED)
        p.number(driver, y[2], number[2])
        p.text(driver + 32, y[2] + 16, "ObjectRef", size=14)
    if whole:
        at_driver(3, "arguments?")
        message(4, y[4], driver, raylet, "a worker?")
        message(0, y[5] + 34, raylet, driver, "a lease on it", color=GREEN, dash=DASH)
        message(0, y[6], driver, worker - 6, "the task")
        p.number(driver, y[6], number[6])
    else:
        message(0, y[6], driver, worker - 6, "the task: see episode 4", color=GREY)
    message(5, y[5], raylet, worker, "starts one if", "none is idle", color=GREEN)
    message(0, y[7], gcs, worker - 6, "code of f", color=BLUE)
    p.number(worker + 22, y[7], number[7])
    p.number(worker, y[8], number[8])
    p.text(worker + 18, y[8] + 5, "f()", size=14)
    p.text(worker + 14, y[8] + 25, "modules,", "once", size=14, step=16)
    if part > 1:
        p.box(driver - 5, y[8], 10, y[10] - y[8], color=RED, rx=2, thick=1.4)
        p.text(driver + 14, y[8] + 12, "ray.get waits", size=14)
        message(0, y[9], worker - 6, driver + 5, "the value", dash=DASH)
        p.number(worker, y[9], number[9])
        at_driver(10, "ray.get returns")
    if whole:
        p.text(118, 82, "state of the task", size=14, bold=True, anchor="middle")
        entered = {
            "PENDING_ARGS_AVAIL": y[2] - 8,
            "PENDING_NODE_ASSIGNMENT": y[4] - 16,
            "SUBMITTED_TO_WORKER": y[6] - 16,
            "RUNNING": y[7] - 12,
            "FINISHED": y[9] - 4,  # level with the reply, which ends the task; ray.get may come much later
        }
        for (name, top), next_top in zip(entered.items(), [*list(entered.values())[1:], bottom + 6], strict=True):
            p.cell(14, top, 208, next_top - top - 6, name, size=13)
    for row, n in enumerate(seen):
        p.number(34, bottom + 34 + 25 * row, number[n])
        p.text(54, bottom + 38.5 + 25 * row, steps[n], size=14)
    return p.svg()


def small_large_result() -> str:
    p = Picture(
        900,
        488,
        "Where a task's result goes: the 100 KiB threshold",
        "Two panels. Left, a result of 99 KiB: the worker's reply carries the bytes into the memory of the driver, "
        "which submitted the task, and the object store is not used. Right, a result of 101 KiB: the worker writes "
        "the object into its node's object store, the reply only says where it is, and ray.get reads it there.",
    )

    def panel(x, head) -> None:
        p.box(x, 54, 424, 352, color=GREY, fill=WHITE, rx=12, thick=2)
        p.text(x + 16, 80, head, size=14, bold=True)
        p.box(x + 16, 96, 136, 104, "worker", "runs the task", color=RED)
        p.box(x + 264, 96, 144, 104, "driver", "memory of its own:", color=RED)

    panel(20, "99 KiB: in the reply")
    p.cell(296, 144, 120, 44, "the 99 KiB", "themselves", color=RED)
    p.cell(48, 150, 112, 32, "99 KiB result", color=RED)
    p.arrow((172, 166), (284, 166), color=RED)
    p.number(192, 166, 1)
    p.text(228, 132, "reply carries", "the bytes", anchor="middle")
    p.cylinder(48, 246, 200, 66, "object store", "(not used)", color=GREY, dash=DASH)
    p.legend(
        44,
        354,
        "The reply itself carries the bytes to the driver.",
        "ray.get reads them in the driver's memory.",
    )
    p.arrow((372, 200), (372, 258), color=RED)
    p.number(372, 224, 2)
    p.text(372, 277, "ray.get", anchor="middle")

    panel(456, "101 KiB: in the object store")
    p.cell(732, 144, 120, 44, "a mark: “in the", "object store”", color=RED)
    p.cell(484, 150, 112, 32, "101 KiB result", color=RED)
    p.arrow((540, 200), (540, 254), color=GREEN)
    p.number(540, 224, 1)
    p.text(558, 229, "write")
    p.arrow((608, 166), (720, 166), color=RED)
    p.number(628, 166, 2)
    p.text(664, 132, "reply says", "where it is", anchor="middle")
    p.arrow((792, 254), (792, 200), color=GREEN)
    p.number(792, 230, 3)
    p.text(774, 235, "ray.get", anchor="end")
    p.cylinder(492, 252, 352, 56, "object store, in shared memory:", "the 101 KiB", color=GREEN)
    p.legend(
        480,
        330,
        "The worker writes to its node's object store.",
        "The reply only says where the object is.",
        "ray.get reads it in the object store.",
    )
    p.text(
        24,
        434,
        "The threshold is 100 KiB = 102,400 bytes, the header of the result included.",
        "If ray.get runs on another node, the object is first copied into that node's object store.",
        size=14,
        step=24,
    )
    return p.svg()


def nested_ownership() -> str:
    p = Picture(
        900,
        500,
        "Nested tasks: whoever submits a task owns its result",
        "The driver submits the task outer, which worker 1 runs; the driver owns outer's result. Inside outer, worker "
        "1 submits the task inner, which worker 2 runs; worker 1 owns inner's result. Both results lie in the object "
        "store. If worker 1 dies, inner's result is lost with its owner, and ray.get raises OwnerDiedError; outer's "
        "result is owned by the driver and survives.",
    )
    p.box(20, 58, 236, 190, "driver", "calls outer.remote()", color=RED, thick=3)
    p.box(342, 58, 236, 190, "worker 1", "runs outer, calls inner.remote()", color=RED)
    p.box(664, 58, 216, 190, "worker 2", "runs inner", color=RED)
    for x, task in ((34, "outer"), (356, "inner")):
        p.text(x, 136, "ownership table", size=13, bold=True)
        p.cell(x, 146, 110, 26, "I own", color=GREY)
        p.cell(x + 110, 146, 98, 26, "bytes are in", color=GREY)
        p.cell(x, 172, 110, 34, f"{task}'s result", color=RED)
        p.cell(x + 110, 172, 98, 34, "object store", color=RED)
    p.text(678, 136, "ownership table", size=13, bold=True)
    p.cell(678, 146, 188, 60, "empty: inner", "submits no task", color=GREY, dash=DASH)
    for x, n in ((256, 1), (578, 2)):
        p.arrow((x, 98), (x + 86, 98), color=RED)
        p.number(x + 38, 98, n)
        p.text(x + 38, 82, "task", anchor="middle")
        p.arrow((x + 86, 226), (x, 226), color=RED, dash=DASH)
        p.text(x + 48, 218, "reply", anchor="middle")
    p.legend(
        34,
        276,
        "The driver submits outer: the driver owns outer's result, although worker 1 makes it.",
        "Inside outer, worker 1 submits inner: worker 1 owns inner's result, although worker 2 makes it.",
    )
    p.line((24, 326), (876, 326), color=EDGE)
    p.text(24, 354, "If worker 1 dies", size=15, bold=True)
    p.box(20, 368, 424, 112, "outer's result: survives", color=GREEN, thick=3)
    kept = ("Its bytes are in the object store. Worker 1", "made them, but their owner, the driver, lives.")
    p.text(232, 414, *kept, size=14, anchor="middle", step=21)
    p.box(456, 368, 424, 112, "inner's result: lost with its owner", color=GREY, dash=DASH)
    lost = ("Its bytes were in the object store, too,", "yet they are lost: ray.get raises")
    p.text(668, 414, *lost, size=14, anchor="middle", step=21)
    p.text(668, 456, "OwnerDiedError", size=14, bold=True, anchor="middle")
    return p.svg()


def actor_life() -> str:
    p = Picture(
        900,
        852,
        "The life of one actor: from Total.remote() to its calls",
        "The driver registers the actor with the GCS, which keeps it in its actor table. The GCS asks a raylet to "
        "lease a worker process, has that worker run the constructor, and tells the driver the actor's address. From "
        "then on calls go straight from the driver to the actor, and results straight back. A second caller has its "
        "own queue to the same actor. By default the node must have 1 CPU, free or not; once alive the actor holds 0. "
        "At the bottom, the actor's states: DEPENDENCIES_UNREADY, PENDING_CREATION, ALIVE, DEAD, and a loop from ALIVE "
        "over RESTARTING back to ALIVE.",
    )
    p.box(20, 54, 196, 340, "driver", "creates the actor", color=RED)
    p.box(20, 406, 196, 92, "another driver or task", "given the handle, or found", "the name in the GCS;", color=RED)
    p.text(118, 479, "owns its own results", anchor="middle")
    p.box(352, 54, 220, 142, "GCS", "actor table", color=BLUE, thick=3)
    p.cell(366, 104, 192, 78, "Total: its name,", "its state and the", "address of its worker", color=BLUE)
    p.box(684, 54, 196, 142, "raylet", "CPUs, by default:", color=GREEN, rx=18)
    p.cell(698, 104, 168, 32, "the node must have: 1", color=GREEN)
    p.cell(698, 150, 168, 32, "held once alive: 0", color=GREEN)
    p.box(352, 244, 528, 254, "worker process = the actor", "its own until it ends", color=RED, thick=3)

    for y, words in ((120, "Total.remote()"), (168, "actor's address"), (336, "counter.add.remote(1)")):
        p.cell(34, y - 15, 168, 30, words, color=RED)
    p.cell(34, 357, 168, 30, "owns the result", color=RED)
    p.cell(704, 314, 160, 140, "the Total object:", "one call at a time,", "by default", color=RED)
    for y, queue, letter in ((336, "the driver's queue", "a"), (430, "the second caller's queue", "b")):
        p.text(384, y - 24, queue)
        for i in range(3):
            p.cell(384 + 56 * i, y - 15, 56, 30, f"{letter}{3 - i}", color=RED)
        p.arrow((552, y), (704, y), color=RED)
        p.text(628, y - 10, f"{letter}1 goes first", anchor="middle")

    def step(n, start, end, at, words, color, side=0, dash="") -> None:
        """A numbered arrow; its words stand above the number, or at its right (side 1) or left (side -1)."""
        p.arrow(start, end, color=color, dash=dash)
        p.number(*at, n)
        anchor = ("middle", "start", "end")[side]
        p.text(at[0] + 18 * side, at[1] + (5 if side else -18), words, anchor=anchor)

    step(1, (216, 120), (352, 120), (284, 120), "register", RED)
    step(2, (572, 120), (684, 120), (628, 120), "lease?", BLUE)
    step(2, (782, 196), (782, 244), (782, 216), "leased worker", GREEN, side=-1)
    step(3, (462, 196), (462, 244), (462, 216), "creation task", BLUE, side=1)
    step(4, (352, 168), (216, 168), (284, 168), "address", BLUE, dash=DASH)
    p.text(284, 256, "neither GCS", "nor raylet", "is asked:", anchor="middle")
    for y, n in ((336, 5), (430, 6)):
        step(n, (216, y), (384, y), (284, y), "calls", RED)
        p.arrow((352, y + 36), (216, y + 36), color=RED, dash=DASH)
        p.text(284, y + 28, "results", anchor="middle")

    p.legend(
        34,
        526,
        "Total.remote(): the driver registers the actor with the GCS, which puts it in its actor table.",
        "The GCS asks a raylet to lease it a worker; by default on a node that has a CPU, free or not.",
        "The GCS has that worker run the constructor; from then on the actor holds 0 CPUs by default.",
        "The GCS tells the driver the actor's address.",
        "Calls go straight to the actor; their results come back to the caller, who owns them.",
        "A second caller has its own queue to the same actor; each keeps its order, by default and without retries.",
    )

    p.line((24, 672), (876, 672), color=EDGE)
    p.text(24, 700, "States of the actor", size=15, bold=True)
    p.cell(20, 714, 190, 46, "DEPENDENCIES_UNREADY", "waits for arguments", size=12)
    p.cell(250, 714, 190, 46, "PENDING_CREATION", "steps 2 and 3", size=12)
    p.cell(480, 714, 200, 46, "ALIVE", "takes calls", size=12)
    p.cell(720, 714, 160, 46, "DEAD", "for good", size=12)
    p.cell(480, 790, 200, 46, "RESTARTING", "if max_restarts allows it", size=12)
    for x in (210, 440, 680):
        p.arrow((x, 737), (x + 40, 737))
    p.arrow((520, 760), (520, 790))
    p.text(508, 780, "process ended", anchor="end")
    p.arrow((640, 790), (640, 760))
    p.text(652, 780, "constructor ran again")
    return p.svg()


def pictures() -> dict[str, str]:
    """Every picture: file name -> SVG text."""
    drawings = (cluster_anatomy, small_large_result, nested_ownership, actor_life)
    parts = {f"task_life_{part}.svg": task_life(part) for part in (1, 2, 3)}
    return {f"{draw.__name__}.svg": draw() for draw in drawings} | parts


def main(args: list[str]) -> int:
    here, stale = Path(__file__).resolve().parent, []
    for name, svg in pictures().items():
        path, data = here / name, svg.encode("utf-8")
        if "--check" not in args:
            path.write_bytes(data)
        elif not path.is_file() or path.read_bytes() != data:
            stale.append(name)
            print(f"{name} differs from what draw.py draws; run: python images/draw.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
