"""What the suite does around a notebook, tried on small notebooks that need no Ray: each breaks one thing.

All of them run in one pytest of their own, in an environment that a careless user may have.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
import traces
from nbformat import v4
from wrong_answers import WRONG

ROOT = Path(__file__).parents[2]
SETUP = """
import os, socket, subprocess, sys
from types import SimpleNamespace
from klaw_course import check, notebook
here = SimpleNamespace(address="127.0.0.1:1")
notebook.begin(SimpleNamespace(attached={attached}, simulated=True, client=False))
"""
SOLUTION = "<summary>Solution</summary>\n\n```python\n{}\n```"
RIGHT = 'check("00.2", {"address": "local", "num_cpus": 1})'
LISTEN = "held = [socket.create_server(('', 0)), socket.create_server(('::', 0), family=socket.AF_INET6)]"
SPY = """
import os
from pathlib import Path

def test_that_writes_into_the_home():
    (Path.home() / ".ray").mkdir()
    (Path.home() / ".ray" / "auth_token").write_text("x")

def test_the_environment():
    names = sorted(name for name in os.environ if name.startswith(("RAY_", "KLAW_")))
    print("LEFT:", names, oct(os.stat(os.environ["RAY_AUTH_TOKEN_PATH"]).st_mode & 0o777))
"""
QUICK = "import traces\ntraces.GRACE_S = 2.5\n"
BLOCKED = "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"


def notebook(*middle: str, solution: str = RIGHT, given: str = "word = 'local'", attached: bool = False):
    """A lesson with one exercise, that of lesson 00: whatever ``middle`` does comes before it."""
    cells = [v4.new_code_cell(SETUP.format(attached=attached))]
    cells.append(v4.new_code_cell(given, metadata={"tags": ["given"]}))
    cells += [v4.new_code_cell(code) for code in middle]
    stub = 'address = ...\ncheck("00.2", address)'
    cells.append(v4.new_code_cell(stub, metadata={"tags": ["exercise"], "exercise": "00.2"}))
    cells.append(v4.new_markdown_cell(SOLUTION.format(solution)))
    cells.append(v4.new_code_cell("notebook.end()", metadata={"tags": ["cleanup"]}))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


SLEEPER = "[sys.executable, '-c', 'import time; time.sleep(40)'], start_new_session=True"  # ends by itself
# As a worker of Ray whose parent has ended: it has renamed itself, so that no environment tells whose it is, and has a
# group of its own.
ORPHAN = (
    "import os, subprocess, sys\n"
    "sleep = ['ray::{name}', '-c', 'import time; time.sleep(40)']\n"
    "subprocess.Popen(sleep, executable=sys.executable, env={}, stdout=-3, stderr=-3, preexec_fn=os.setpgrp)"
)
NOTEBOOKS = {
    "good": notebook(),
    "local": notebook("held = socket.create_server(('127.0.0.1', 0))", "import time; time.sleep(1.2)"),
    "given-again": notebook("word = 'rebound'", solution='check("00.2", {"address": word, "num_cpus": 1})'),
    "wrong-solution": notebook(solution='check("00.2", {"address": "auto", "num_cpus": 1})'),
    "broken-solution": notebook(solution="1 / 0"),
    "no-todo": notebook("real = check\ncheck = lambda name, answer: real(name, None if answer is ... else answer)"),
    "stubborn": notebook("from klaw_course.check import lesson_00\nlesson_00.CHECKERS['00.2'] = lambda a: 'fine'"),
    "other-hint": notebook(
        "from klaw_course.check import Wrong, lesson_00\n"
        "def checker(answer):\n    if answer != {'address': 'local', 'num_cpus': 1}:\n"
        "        raise Wrong('no')\n    return 'yes'\n"
        "lesson_00.CHECKERS['00.2'] = checker"
    ),
    "failing": notebook("assert False, 'the lesson is wrong'"),
    "open": notebook(LISTEN, "import time; time.sleep(1.2)"),
    "process": notebook(f"subprocess.Popen({SLEEPER}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)"),
    "orphan": notebook(f"subprocess.run([sys.executable, '-c', {ORPHAN.replace('{name}', 'Ours')!r}])"),
    "no-torch": notebook(given="# Needs PyTorch: it makes tensors.\nimport torch"),
    "written": notebook("open(f'/tmp/klaw-{os.getpid()}-by-a-test', 'w').close()"),
    "skipped": notebook("# Needs a private cluster: it looks.\nprint('looked')", attached=True),
}


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What a pytest of its own printed about these notebooks."""
    folder = tmp_path_factory.mktemp("frame")
    for name, made in NOTEBOOKS.items():
        nbformat.write(made, folder / f"{name}.ipynb")
    (folder / "test_spy.py").write_text(SPY)
    (folder / "quick.py").write_text(QUICK)
    (folder / "torch.py").write_text(BLOCKED)
    careless = {"KLAW_RAY_ADDRESS": "127.0.0.1:1", "RAY_ADDRESS": "127.0.0.1:2", "RAY_HEAD_SERVICE_HOST": "nowhere"}
    paths = {"HOME": str(folder), "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    options = ["-p", "conftest", "-p", "quick", "-p", "no:cacheprovider", "-s", "-c", ROOT / "pyproject.toml"]
    command = [sys.executable, "-m", "pytest", *options, f"--rootdir={folder}", folder]
    try:
        done = subprocess.run(
            command, env=os.environ | careless | paths, cwd=folder, capture_output=True, text=True, timeout=240
        )
    finally:
        for left in Path("/tmp").glob("klaw-*-by-a-test"):
            left.unlink(missing_ok=True)
    return done.stdout + done.stderr


def about(name: str, printed: str) -> str:
    """The part of the output on a notebook that failed; an empty text if it passed."""
    parts = re.split(r"^_{3,} *(.*?) *_{3,}$", printed.partition("short test summary")[0], flags=re.M)
    reports = dict(zip(parts[1::2], parts[2::2], strict=True))
    return next((text for title, text in reports.items() if title.split("/")[-1].startswith(f"{name}.ipynb")), "")


@pytest.mark.parametrize("name", ["good", "local", "given-again", "no-torch"])
def test_a_notebook_that_is_in_order_passes(name, printed):
    assert f"{name}.ipynb: " in printed and not about(name, printed), printed


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("wrong-solution", ["solution of 00.2: ✗ wrong"]),
        ("broken-solution", ["solution of 00.2: ZeroDivisionError"]),
        ("stubborn", ["wrong 00.2: a dictionary is wanted: ✓ right", "nonsense for 00.2: ['right', 'right'"]),
        ("other-hint", ["wrong 00.2: a dictionary is wanted: ✗ wrong  00.2: no"]),
        ("failing", ["the lesson is wrong"]),
        ("open", ["listens on 0.0.0.0 port", "listens on :: port", "ipykernel_launcher"]),
        ("process", ["left something", "time.sleep(40)"]),
        ("orphan", ["left something", "ray::Ours"]),
        ("written", ["left something", "-by-a-test"]),
        ("skipped", ["skipped for want of a private cluster"]),
    ],
)
def test_what_is_not_in_order_fails_the_notebook_and_is_named(name, says, printed):
    assert all(part in about(name, printed) for part in says), about(name, printed) or printed


def test_the_stub_is_judged_too(printed):
    assert "stub of 00.2: ✗ wrong" in about("no-todo", printed)


def test_the_summary_has_the_seconds_and_the_answers(printed):
    answers = 3 + len(WRONG["00.2"])  # the stub, the solution, the nonsense, and the wrong ones
    assert re.search(rf"^good\.ipynb: \d+ s, {answers} answers$", printed, re.M), printed
    assert "failing.ipynb: failed" in printed


def test_without_pytorch_the_summary_names_the_answers_that_were_not_checked(printed):
    line = next(line for line in printed.splitlines() if line.startswith("no-torch.ipynb: "))
    assert line.endswith("s, 0 answers; 2 cells skipped for want of PyTorch; not checked: 00.2")


def test_what_the_user_set_for_a_cluster_does_not_reach_the_suite(printed):
    assert "LEFT: ['RAY_AUTH_TOKEN_PATH', 'RAY_worker_niceness'] 0o600" in printed


def test_a_token_that_is_written_into_the_users_home_is_a_failure(printed):
    assert re.search(r"A test wrote .*/\.ray/auth_token", printed)


def test_a_watch_that_cannot_look_says_so(monkeypatch):
    monkeypatch.setattr(traces, "EVERY_S", 0.01)
    monkeypatch.setattr(psutil, "net_connections", lambda kind: 1 / 0)
    with traces.Watch() as watch:
        time.sleep(0.1)
    assert watch.open == {"the watch ended: ZeroDivisionError: division by zero"}


def test_what_a_ray_beside_it_leaves_is_not_the_notebooks(monkeypatch):
    monkeypatch.setattr(traces, "EVERY_S", 0.01)
    with traces.Watch() as watch:
        beside = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {ORPHAN!r}], start_new_session=True)"
        subprocess.run([sys.executable, "-c", beside.replace("{name}", "Another")], check=True)
        time.sleep(0.1)
        seen = [process.info for process in psutil.process_iter(["name", "cmdline", "status"])]
        running = [info for info in seen if info["status"] != psutil.STATUS_ZOMBIE]
        assert any("ray::Another" in [info["name"], *(info["cmdline"] or ())] for info in running)
    assert watch.left() == []


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.1.1", "::1", "::ffff:127.0.0.1"])
def test_loopback(address):
    assert traces.is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.7", "::ffff:0.0.0.0", "fe80::1%eth0"])
def test_not_loopback(address):
    assert not traces.is_loopback(address)
