"""The rules of a lesson's form: ``problems`` names the notebook, the cell and the rule. Needs no Ray."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

from form_cells import Cell, language, marks, pictures

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CELLS = (40, 90)
WORDS = (1000, 2300)
LINES_MEDIAN, LINES_MAX = 10, 20  # a lesson on actors is full of classes; most cells are 1 to 6 lines
EPISODES = (4, 10)
MINUTES = re.compile(r"^\*\*Minutes:\*\* read \d+ · run \d+ · do \d+$", re.M)
NEEDS = re.compile(r"^\*\*Needs:\*\* \S", re.M)
EPISODE = re.compile(r"^(\d+) · (.+)$")
EXERCISE = re.compile(r"^Exercise (\d\d\.\d+) · .+ \(\d+ minutes\)$")
RECAP = "| You saw | Because | The API |"
DETAILS = re.compile(r"<details\b[^>]*>(.*?)</details>", re.S)
SUMMARY = re.compile(r"<summary>(.*?)</summary>", re.S)


def problems(name: str, notebook: dict, folder: Path = NOTEBOOKS) -> list[str]:
    """Say where a notebook departs from the form of a lesson.

    Args:
        name: the file's name; its first two digits are the lesson.
        notebook: the notebook, as read from its JSON.
        folder: where the notebook lies, for the paths of pictures.

    Returns:
        A sentence for each problem, with the notebook, the cell (number from 0, and id) and the rule.
    """
    cells = [Cell(n, cell) for n, cell in enumerate(notebook["cells"])]
    found = [*_storage(notebook, cells), *_opening(name, cells), *_episodes(cells), *_exercises(name[:2], cells)]
    found += [*_ending(cells), *pictures(cells, folder), *_size(cells), *language(cells), *marks(cells)]
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


def _opening(name: str, cells: list[Cell]):
    headings = [(level, title, cell) for cell in cells for level, title in cell.headings]
    h1 = [cell for level, _, cell in headings if level == 1]
    if len(h1) != 1 or h1[0].number != 0:
        yield f"there are {len(h1)} H1 headings; there is one, in the first cell."
    above = 0
    for level, title, cell in headings:
        if level > above + 1:
            yield f"{cell.where}: the heading {title!r} skips a level, from H{above} to H{level}."
        above = level
    first_h2 = next((cell.number for level, _, cell in headings if level == 2), len(cells))
    intro = "\n".join(cell.text for cell in cells[: first_h2 + 1])
    intro = re.split(r"^## ", intro, maxsplit=1, flags=re.M)[0]
    able = re.search(r"You will be able to.*\n+((?:[-*] .*\n?(?:[ \t]+\S.*\n?)*)*)", intro)
    goals = len(re.findall(r"^[-*] ", able[1], re.M)) if able else 0
    if goals != 3:
        yield f"the opening has {goals} bullets below 'You will be able to'; it has three."
    if not MINUTES.search(intro):
        yield "the opening lacks the line '**Minutes:** read 20 · run 2 · do 30' (with its own numbers)."
    if not NEEDS.search(intro):
        yield "the opening lacks the line that starts with '**Needs:**'."
    recall = _section(cells, "Recall")
    if not name.startswith("00"):
        folded = sum(len(DETAILS.findall(cell.source)) for cell in recall or [])
        if recall is None or folded != 2:
            yield f"'## Recall' has {folded} folded answers; it is a section with two."
    setup = [cell for cell in cells if "setup" in cell.tags]
    if len(setup) != 1 or not setup[0].is_code or "cluster.start(" not in setup[0].source:
        yield f"{len(setup)} cells have the tag 'setup'; it is one code cell, and calls cluster.start(...)."


def _episodes(cells: list[Cell]):
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
    if not EPISODES[0] <= len(titles) <= EPISODES[1]:
        yield f"there are {len(titles)} episodes; a lesson has {EPISODES[0]} to {EPISODES[1]}."
    failures = [cell for cell in cells if "failure" in cell.tags]
    if not failures:
        yield "no cell has the tag 'failure'; a lesson has a deliberate failure, caught in the cell."
    for cell in failures:
        if not cell.is_code or not re.search(r"^\s*except\b", cell.source, re.M):
            yield f"{cell.where}: a cell with the tag 'failure' is code, and catches its failure with except."


def _exercises(lesson: str, cells: list[Cell]):
    section = _section(cells, "Exercises")
    if section is None:
        yield "there is no section '## Exercises'."
        return
    titles = [(title, cell) for cell in section for level, title in cell.headings if level == 3]
    ids = []
    for title, cell in titles:
        match = EXERCISE.match(title)
        if not match:
            yield f"{cell.where}: {title!r} is not written like '### Exercise {lesson}.1 · title (5 minutes)'."
            continue
        ids.append(match[1])
        yield from _exercise(match[1], cell, _section(cells, title) or [])
    if len(titles) == 3 and len(ids) == 3 and ids != [f"{lesson}.{n}" for n in (1, 2, 3)]:
        yield f"the exercises are {', '.join(ids)}; they are {lesson}.1, {lesson}.2 and {lesson}.3."
    if len(titles) != 3:
        yield f"there are {len(titles)} exercises; a lesson has three."
    inside = {cell.number for cell in section}
    for cell in cells:
        if "exercise" in cell.tags and cell.number not in inside:
            yield f"{cell.where}: it has the tag 'exercise' but is not in the section '## Exercises'."


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
    code = [cell for cell in cells if cell.is_code]
    clean = [cell for cell in _section(cells, "Clean up") or [] if "cleanup" in cell.tags]
    if len(clean) != 1 or not clean[0].is_code or "cluster.stop()" not in clean[0].source:
        yield "the section '## Clean up' lacks its one code cell with the tag 'cleanup' that calls cluster.stop()."
    elif clean[0].number != code[-1].number:
        yield f"{code[-1].where}: code comes after the clean-up, which is the last code cell."
    box = DETAILS.findall(cells[-1].source) if not cells[-1].is_code else []
    if not box or "For instructors" not in _summary(box[-1]):
        yield f"{cells[-1].where}: the last cell is not a folded <details> with the summary 'For instructors'."
    else:
        for word in ("Ask", "Demo", "Watch for", "Skip"):
            if word not in box[-1]:
                yield f"{cells[-1].where}: the instructors' box lacks {word!r}."
    for cell in cells:
        if not cell.is_code and re.search(r"<details\b[^>]*\bopen\b", cell.text):
            yield f"{cell.where}: a <details> is open; leave it folded."
        if cell.text.count("<details") != cell.text.count("</details>"):
            yield f"{cell.where}: a <details> is not closed."


def _size(cells: list[Cell]):
    if not CELLS[0] <= len(cells) <= CELLS[1]:
        yield f"there are {len(cells)} cells; a lesson has {CELLS[0]} to {CELLS[1]}."
    words = sum(len(re.findall(r"\w[\w'.-]*", re.sub(r"<[^>]+>", " ", cell.text))) for cell in cells)
    if not WORDS[0] <= words <= WORDS[1]:
        yield f"there are {words} words of text (folded parts too, code not); a lesson has {WORDS[0]} to {WORDS[1]}."
    lengths = []
    for cell in cells:
        if cell.is_code:
            lengths.append(len([x for x in cell.source.splitlines() if x.strip() and not x.lstrip().startswith("#")]))
            if lengths[-1] > LINES_MAX:
                yield f"{cell.where}: it has {lengths[-1]} lines of code; split it, {LINES_MAX} are the most."
    if lengths and statistics.median(lengths) > LINES_MEDIAN:
        yield f"code cells have {statistics.median(lengths):g} lines in the median; {LINES_MEDIAN} are the most."


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
