"""The rules of a lesson's form: ``problems`` names the notebook, the cell and the rule. Needs no Ray."""

from __future__ import annotations

import re
from pathlib import Path

from form_cells import Cell, language, marks, pictures
from sizes import DEEPER, FIRST, FIRST_EDITION, LESSON, Sizes, minutes_to_read, too_large

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
MINUTES = re.compile(r"^\*\*Minutes:\*\* read (\d+) · run (\d+) · do (\d+)$", re.M)
MINUTES_DEEPER = re.compile(r"^\*\*Minutes:\*\* read (\d+) · run \d+$", re.M)
NEEDS = re.compile(r"^\*\*Needs:\*\* \S", re.M)
EPISODE = re.compile(r"^(\d+) · (.+)$")
EXERCISE = re.compile(r"^Exercise (\d\d\.\d+) · .+ \((\d+) minutes\)$")
DOCUMENTATION = "https://docs.ray.io/en/releases-2.60.0/"  # of the Ray that pyproject.toml pins
RECAP = "| You saw | Because | The API |"
DETAILS = re.compile(r"<details\b[^>]*>(.*?)</details>", re.S)
SUMMARY = re.compile(r"<summary>(.*?)</summary>", re.S)


def problems(name: str, notebook: dict, folder: Path = NOTEBOOKS) -> list[str]:
    """Say where a notebook departs from the form of a lesson, or of a deeper notebook.

    Args:
        name: the path of its file below ``notebooks/``; the first two digits of the file's name are the lesson.
        notebook: the notebook, as read from its JSON.
        folder: where the notebook lies, for the paths of pictures.

    Returns:
        A sentence for each problem, with the notebook, the cell (number from 0, and id) and the rule.
    """
    cells = [Cell(n, cell) for n, cell in enumerate(notebook["cells"])]
    place = Path(name)
    lesson = place.name[:2]
    found = [*_storage(notebook, cells), *_headings(cells), *_setup(cells), *_clean_up(cells), *pictures(cells, folder)]
    found += [*language(cells), *marks(cells)]
    if place.parent.name == "deeper":
        found += [*_deeper(cells), *_episodes(cells, DEEPER), *too_large(cells, DEEPER)]
        return [f"{name}: {problem}" for problem in found]
    first = place.stem in FIRST_EDITION
    form = FIRST if first else LESSON
    found += [*_opening(lesson, cells), *_episodes(cells, form), *_failures(cells), *_ending(cells)]
    found += [*_exercises(lesson, cells, first), *_minutes(cells), *too_large(cells, form)]
    if not first:
        found += [*_steps(cells), *_places(cells), *_links(cells)]
    return [f"{name}: {problem}" for problem in found]


def _storage(notebook: dict, cells: list[Cell]):
    if (notebook.get("nbformat"), notebook.get("nbformat_minor")) != (4, 5):
        yield f"nbformat is {notebook.get('nbformat')}.{notebook.get('nbformat_minor')}; store it as 4.5."
    meta = notebook.get("metadata", {})
    spec = meta.get("kernelspec", {})
    if spec.get("name") != "python3" or set(spec) != {"name", "display_name", "language"}:
        yield f"kernelspec is {spec}; it has the name python3, a display_name and a language, nothing else."
    if meta.get("language_info", {"name": "python"}) != {"name": "python"}:
        yield "language_info holds more than the name python; delete the rest, which changes from machine to machine."
    for key in sorted(set(meta) - {"kernelspec", "language_info"}):
        yield f"the notebook's metadata has {key!r}; delete it."
    seen = set()
    for cell in cells:
        identity = cell.raw.get("id", "")
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", identity):
            yield f"{cell.where}: the id has other characters than a-z, 0-9 and -; name the cell by what it does."
        if identity in seen:
            yield f"{cell.where}: another cell has this id."
        seen.add(identity)
        if cell.raw.get("outputs") or cell.raw.get("execution_count") is not None:
            yield f"{cell.where}: an output or execution count is stored; clear it."
        if "execution" in cell.raw.get("metadata", {}):
            yield f"{cell.where}: execution times are stored in its metadata; delete them."
        for tag in {"raises-exception", "skip", "skip-execution"} & set(cell.tags):
            yield f"{cell.where}: the tag {tag!r} hides failures; catch the exception in the cell."
        if cell.is_code and re.search(r"^\s*[!%]+pip\b", cell.source, re.M):
            yield f"{cell.where}: it installs something; that belongs in pyproject.toml."


def _headings(cells: list[Cell]):
    headings = [(level, title, cell) for cell in cells for level, title in cell.headings]
    h1 = [cell for level, _, cell in headings if level == 1]
    if len(h1) != 1 or h1[0].number != 0:
        yield f"there are {len(h1)} H1 headings; there is one, in the first cell."
    above = 0
    for level, title, cell in headings:
        if level > above + 1:
            yield f"{cell.where}: the heading {title!r} skips a level, from H{above} to H{level}."
        above = level


def _setup(cells: list[Cell]):
    setup = [cell for cell in cells if "setup" in cell.tags]
    if len(setup) != 1 or not setup[0].is_code or "cluster.start(" not in setup[0].source:
        yield f"{len(setup)} cells have the tag 'setup'; it is one code cell, and calls cluster.start(...)."


def _opening(lesson: str, cells: list[Cell]):
    intro = _intro(cells)
    able = re.search(r"You will be able to.*\n+((?:[-*] .*\n?(?:[ \t]+\S.*\n?)*)*)", intro)
    goals = len(re.findall(r"^[-*] ", able[1], re.M)) if able else 0
    if goals != 3:
        yield f"the opening has {goals} bullets below 'You will be able to'; it has three."
    if not MINUTES.search(intro):
        yield "the opening lacks the line '**Minutes:** read 20 · run 2 · do 30' (with its own numbers)."
    if not NEEDS.search(intro):
        yield "the opening lacks the line that starts with '**Needs:**'."
    if lesson != "00":
        recall = _section(cells, "Recall")
        folded = sum(len(DETAILS.findall(cell.source)) for cell in recall or [])
        if recall is None or folded != 2:
            yield f"'## Recall' has {folded} folded answers; it is a section with two."


def _intro(cells: list[Cell]) -> str:
    first_h2 = next((cell.number for cell in cells if any(level == 2 for level, _ in cell.headings)), len(cells))
    intro = "\n".join(cell.text for cell in cells[: first_h2 + 1])
    return re.split(r"^## ", intro, maxsplit=1, flags=re.M)[0]


def _deeper(cells: list[Cell]):
    said = MINUTES_DEEPER.search(_intro(cells))
    if not said or int(said[1]) != minutes_to_read(cells):
        yield f"the opening lacks the line '**Minutes:** read {minutes_to_read(cells)} · run 1'; run make minutes."
    for cell in cells:
        if "exercise" in cell.tags:
            yield f"{cell.where}: a deeper notebook has no exercises."
        for _, title in cell.headings:
            if title in ("Recall", "Recap"):
                yield f"{cell.where}: a deeper notebook has no section {title!r}."


def _steps(cells: list[Cell]):
    """A prediction has a cell to write it down."""
    for cell, after in zip(cells, cells[1:], strict=False):
        if not cell.is_code and "**Predict**" in cell.text and not (after.is_code and "guess" in after.source):
            yield f"{cell.where}: it says Predict; a cell with guess = {{...}} comes next."


def _places(cells: list[Cell]):
    """Exercises stand in the middle: after the episode that each practises, the third at the end."""
    titles = [title for cell in cells for level, title in cell.headings if level == 2]
    order = "".join("E" if EPISODE.match(t) else "X" for t in titles if EPISODE.match(t) or t.startswith("Exercise "))
    if not re.fullmatch(r"E+XE+XE*X", order):
        yield f"episodes and exercises follow one another as {order}; two exercises stand between, one at the end."


def _minutes(cells: list[Cell]):
    """What the opening promises is what is computed."""
    said = MINUTES.search(_intro(cells))
    to_do = [int(match[2]) for cell in cells for _, title in cell.headings if (match := EXERCISE.match(title))]
    if said and int(said[1]) != minutes_to_read(cells):
        yield f"it promises {said[1]} minutes to read, and there are {minutes_to_read(cells)}; run make minutes."
    if said and int(said[3]) != sum(to_do):
        yield f"it promises {said[3]} minutes to do, and its exercises say {sum(to_do)}."


def _links(cells: list[Cell]):
    further = re.search(r"\*\*Further reading.*", "\n".join(cell.text for cell in _section(cells, "Recap") or []))
    links = re.findall(r"\]\((https?://[^)]*)\)", further[0]) if further else []
    if not 1 <= len(links) <= 3:
        yield f"'**Further reading**' in the recap has {len(links)} links; it has one to three."
    if not re.search(r"^\*\*Deeper\b", "\n".join(cell.text for cell in cells), re.M):
        yield "the recap lacks the questions of the deeper notebook, a paragraph that begins with '**Deeper**'."
    for cell in cells:
        for link in re.findall(r"\]\((https?://docs\.ray\.io[^)]*)\)", cell.text):
            if not link.startswith(DOCUMENTATION):
                yield f"{cell.where}: {link} is not of the pinned version; it begins with {DOCUMENTATION}."


def _episodes(cells: list[Cell], form: Sizes):
    titles = [(title, cell) for cell in cells for level, title in cell.headings if level == 2 and title[0].isdigit()]
    numbers = []
    for title, cell in titles:
        match = EPISODE.match(title)
        if not match:
            yield f"{cell.where}: the episode {title!r} is not written like '## 1 · Does it run without ray.get?'."
            continue
        numbers.append(int(match[1]))
        code = [one for one in _section(cells, title) or [] if one.is_code]
        if not any(re.search(r"^\s*assert\b", one.source, re.M) for one in code):
            yield f"{cell.where}: the episode {title!r} has no assert; assert in a visible cell what it teaches."
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the episodes are numbered {numbers}; count from 1 without gaps."
    least, most = form.episodes
    if not least <= len(titles) <= most:
        yield f"there are {len(titles)} episodes; a lesson has {least} to {most}."


def _failures(cells: list[Cell]):
    failures = [cell for cell in cells if "failure" in cell.tags]
    if not failures:
        yield "no cell has the tag 'failure'; a lesson has a deliberate failure, caught in the cell."
    for cell in failures:
        if not cell.is_code or not re.search(r"^\s*except\b", cell.source, re.M):
            yield f"{cell.where}: a cell with the tag 'failure' is code, and catches its failure with except."


def _exercises(lesson: str, cells: list[Cell], first: bool):
    """In the first edition all exercises stand in one section; since then each is a section of its own."""
    section = _section(cells, "Exercises") if first else cells
    if section is None:
        yield "there is no section '## Exercises'."
        return
    level = 3 if first else 2
    titles = [
        (title, cell)
        for cell in section
        for depth, title in cell.headings
        if depth == level and (first or title.startswith("Exercise"))
    ]
    ids = []
    for title, cell in titles:
        match = EXERCISE.match(title)
        if not match:
            form = f"{'#' * level} Exercise {lesson}.1 · title (5 minutes)"
            yield f"{cell.where}: {title!r} is not written like '{form}'."
            continue
        ids.append(match[1])
        yield from _exercise(match[1], cell, _section(cells, title) or [])
    if len(titles) == 3 and len(ids) == 3 and ids != [f"{lesson}.{n}" for n in (1, 2, 3)]:
        yield f"the exercises are {', '.join(ids)}; they are {lesson}.1, {lesson}.2 and {lesson}.3."
    if len(titles) != 3:
        yield f"there are {len(titles)} exercises; a lesson has three."
    inside = {cell.number for title, _ in titles for cell in _section(cells, title) or []}
    for cell in cells:
        if "exercise" in cell.tags and cell.number not in inside:
            yield f"{cell.where}: it has the tag 'exercise' but is not in the section of an exercise."


def _exercise(exercise: str, heading: Cell, cells: list[Cell]):
    here = f"{heading.where}: exercise {exercise}"
    stubs = [cell for cell in cells if "exercise" in cell.tags]
    if len(stubs) != 1 or not stubs[0].is_code:
        yield f"{here} has {len(stubs)} cells with the tag 'exercise'; it has one, a code cell."
        return
    stub = stubs[0]
    if stub.raw["metadata"].get("exercise") != exercise:
        yield f'{stub.where}: its metadata lacks "exercise": "{exercise}".'
    if f'check("{exercise}", ' not in stub.source or "..." not in stub.source:
        yield f'{stub.where}: the stub calls check("{exercise}", answer) and has a ... to replace.'
    folded = [part for cell in cells if cell.number > stub.number for part in DETAILS.findall(cell.source)]
    summaries = [_summary(part) for part in folded]
    if sum("Hint" in summary for summary in summaries) != 2:
        yield f"{here} has {sum('Hint' in s for s in summaries)} folded hints after its stub; it has two."
    solutions = [part for part, summary in zip(folded, summaries, strict=True) if summary == "Solution"]
    if len(solutions) != 1:
        yield f"{here} has {len(solutions)} folded parts called 'Solution' after its stub; it has one."
        return
    blocks = re.findall(r"^```python\n(.*?)^```", solutions[0], re.S | re.M)
    if len(blocks) != 1 or f'check("{exercise}", ' not in blocks[0]:
        yield f'{here}: its solution is one ```python block that calls check("{exercise}", answer).'


def _ending(cells: list[Cell]):
    recap = _section(cells, "Recap")
    text = "\n".join(cell.text for cell in recap or [])
    if RECAP not in text:
        yield f"the section '## Recap' lacks the table with the header {RECAP!r}."
    after = "\n".join(cell.text for cell in cells).partition(RECAP)[2]
    if not re.search(r"^\W*If your Ray differs", after, re.M):
        yield "after the recap's table there is no line or heading 'If your Ray differs'."
    box = DETAILS.findall(cells[-1].source) if not cells[-1].is_code else []
    if not box or "For instructors" not in _summary(box[-1]):
        yield f"{cells[-1].where}: the last cell is not a folded <details> with the summary 'For instructors'."
    else:
        for word in ("Ask", "Demo", "Watch for", "Skip"):
            if word not in box[-1]:
                yield f"{cells[-1].where}: the instructors' box lacks {word!r}."


def _clean_up(cells: list[Cell]):
    code = [cell for cell in cells if cell.is_code]
    clean = [cell for cell in _section(cells, "Clean up") or [] if "cleanup" in cell.tags]
    if len(clean) != 1 or not clean[0].is_code or "cluster.stop()" not in clean[0].source:
        yield "the section '## Clean up' lacks its one code cell with the tag 'cleanup' that calls cluster.stop()."
    elif clean[0].number != code[-1].number:
        yield f"{code[-1].where}: code comes after the clean-up, which is the last code cell."
    for cell in cells:
        if not cell.is_code and re.search(r"<details\b[^>]*\bopen\b", cell.text):
            yield f"{cell.where}: a <details> is open; leave it folded."
        if cell.text.count("<details") != cell.text.count("</details>"):
            yield f"{cell.where}: a <details> is not closed."


def _section(cells: list[Cell], title: str) -> list[Cell] | None:
    """The cells from that heading to the next of its level or above; ``None`` without it."""
    inside, depth = None, 0
    for cell in cells:
        for level, text in cell.headings:
            if inside is not None and level <= depth:
                return inside
            if inside is None and level > 1 and text == title:
                inside, depth = [cell], level
        if inside is not None and inside[-1] is not cell:
            inside.append(cell)
    return inside


def _summary(details: str) -> str:
    match = SUMMARY.search(details)
    return re.sub(r"<[^>]+>", "", match[1]).strip() if match else ""
