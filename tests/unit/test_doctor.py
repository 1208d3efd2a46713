"""The doctor's judgements, on values that are passed in; and one run of it on this machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from klaw_course import doctor
from klaw_course.doctor import GIB, Finding
from klaw_course.wait import wait_until

GOOD = [
    doctor.python_version((3, 10)),
    doctor.python_version((3, 14)),
    doctor.ray_version("2.60.0", "2.60.0"),
    doctor.packages([]),
    doctor.cores(2, []),
    doctor.cores(64, [4.0, 2.0]),
    doctor.memory(16 * GIB, 4 * GIB, []),
    doctor.memory(16 * GIB, 8 * GIB, [(2**63, 2**63 - GIB), (6 * GIB, 4 * GIB)]),
    doctor.shared_memory(GIB),
    doctor.shared_memory(None),
    doctor.disk("/tmp", 100 * GIB, 50 * GIB),
    *doctor.other_rays([], []),
    *doctor.other_rays([11, 12], ["03_scheduling.ipynb (process 10)"]),
    doctor.torch_version("2.13.0+cpu"),
    *doctor.transports(True, True, False, 0, False),
]
WARNINGS = [
    doctor.ray_version("2.59.0", "2.60.0"),
    doctor.ray_version("2.60.0", None),
    doctor.cores(1, []),
    doctor.cores(8, [1.5]),
    doctor.memory(16 * GIB, 4 * GIB - 1, []),
    doctor.memory(16 * GIB, 16 * GIB, [(8 * GIB, 4 * GIB - 1)]),
    doctor.shared_memory(64 * 2**20),
    doctor.disk("/tmp", 10 * GIB, 2 * GIB - 1),
    doctor.disk("/tmp", 1000 * GIB, 49 * GIB),
    doctor.torch_version(None),
    doctor.torch_version(None, "libfoo.so: cannot open shared object file"),
]
FAILURES = [
    doctor.python_version((3, 9)),
    doctor.ray_version(None, "2.60.0"),
    doctor.ray_version(None, None),
    doctor.packages(["ray", "numpy"]),
    doctor.memory(16 * GIB, 2 * GIB - 1, []),
    doctor.memory(16 * GIB, 16 * GIB, [(8 * GIB, 8 * GIB), (2 * GIB, -GIB)]),
]
LEVELS = {"ok": GOOD, "warn": WARNINGS, "FAIL": FAILURES}
EACH = [pytest.param(level, f, id=f"{level}-{f.name}") for level, findings in LEVELS.items() for f in findings]


@pytest.mark.parametrize(("level", "finding"), EACH)
def test_each_value_gets_its_level_and_each_problem_its_cure(level, finding):
    assert finding.level == level
    assert bool(finding.cure) == (level != "ok")


def test_the_report_fits_a_screen_80_columns_wide():
    long = Finding("warn", "packages", "word " * 60, "Do this and that. " * 12)
    path = Finding("ok", "disk", "/a" * 90)
    for line in doctor.report([*GOOD, *WARNINGS, *FAILURES, long, path]).splitlines():
        assert len(line) <= 80, line


def test_the_report_puts_a_cure_below_its_problem():
    lines = doctor.report([doctor.cores(2, []), doctor.cores(1, [])]).splitlines()
    assert lines[0].split() == ["ok", "cores", "2"]
    assert lines[1].split() == ["warn", "cores", "1"]
    assert lines[2].strip().startswith("-> ")
    assert lines[-1] == "The course can run."


@pytest.mark.parametrize(("findings", "status"), [(GOOD, 0), (WARNINGS, 0), (FAILURES, 1), (GOOD + FAILURES[:1], 1)])
def test_the_exit_status_says_whether_the_course_can_run(monkeypatch, capsys, findings, status):
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    assert doctor.main([]) == status
    assert ("cannot run" in capsys.readouterr().out) == bool(status)


def test_an_argument_is_refused(capsys):
    assert doctor.main(["--fix"]) == 2
    assert "'--fix'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, {}),
        ({"RAY_ADDRESS": "10.0.0.1:6379"}, {"RAY_ADDRESS": "ignored"}),
        (
            {"KLAW_RAY_ADDRESS": "auto", "RAY_ADDRESS": "1.2.3.4:1"},
            {"KLAW_RAY_ADDRESS": "attach", "RAY_ADDRESS": "KLAW_RAY_ADDRESS goes first"},
        ),
        (
            {"RAY_HEAD_SERVICE_HOST": "head", "RAY_HEAD_SERVICE_PORT": "10001"},
            {"RAY_HEAD_SERVICE_HOST": "ignored"},
        ),
        ({"RAY_HEAD_SERVICE_HOST": "head", "KLAW_RAY_ADDRESS": "ray://head:1"}, {"KLAW_RAY_ADDRESS": "attach"}),
        ({"RAY_AUTH_MODE": "token"}, {"RAY_AUTH_MODE": "for attaching"}),
    ],
)
def test_variables_that_direct_ray_are_explained(variables, said):
    found = {finding.name: finding.value for finding in doctor.environment(variables)}
    assert found.keys() == said.keys()
    assert all(text in found[name] for name, text in said.items())


def test_on_kubernetes_the_way_to_attach_is_one_line_to_copy():
    findings = doctor.environment({"RAY_HEAD_SERVICE_HOST": "10.0.0.7", "RAY_HEAD_SERVICE_PORT": "10001"})
    lines = doctor.report(findings).splitlines()
    assert lines[2].strip() == "KLAW_RAY_ADDRESS=ray://$RAY_HEAD_SERVICE_HOST:$RAY_HEAD_SERVICE_PORT"


def test_no_line_names_a_lesson_that_does_not_exist():
    there = {path.name[:2] for path in (Path(__file__).parents[2] / "notebooks").glob("*.ipynb")}
    said = doctor.report([*GOOD, *WARNINGS, *FAILURES])
    assert set(re.findall(r"[Ll]esson (\d\d)", said)) <= there


def test_a_lesson_that_runs_is_named_by_its_notebook():
    """A stand-in for a cluster: a process with the command line of a lesson's gcs_server, and one for its kernel."""
    environment = os.environ | {"JPY_SESSION_NAME": "/home/ada/work/03_scheduling.ipynb"}
    sleep = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", sleep], stdin=subprocess.PIPE, env=environment) as kernel:
        folder = f"--session-dir=/tmp/klaw-{kernel.pid}-ab12/session"
        with subprocess.Popen([sys.executable, "-c", sleep, folder], stdin=subprocess.PIPE) as gcs:
            wait_until(lambda: all(psutil.Process(child.pid).cmdline() for child in (kernel, gcs)), "both programs")
            named = doctor._lessons_that_run([psutil.Process(gcs.pid), psutil.Process()])
            assert named == [f"03_scheduling.ipynb (process {kernel.pid})"]


def said_of_transports(*arguments):
    return {finding.name: finding.value for finding in doctor.transports(*arguments)}


def test_transports_say_what_they_need():
    said = said_of_transports(False, False, False, 0, False)
    assert list(said) == ["RDT gloo", "RDT nixl", "RDT nccl", "RDT cuda_ipc"]
    assert set(said.values()) == {"no, needs PyTorch"}
    said = said_of_transports(True, True, True, 1, False)
    assert said["RDT gloo"] == said["RDT cuda_ipc"] == "yes"
    assert "pip install nixl" in said["RDT nixl"] and "2 GPUs" in said["RDT nccl"] and "are 1" in said["RDT nccl"]
    assert set(said_of_transports(True, True, True, 2, True).values()) == {"yes"}
    assert said_of_transports(True, True, False, 2, True)["RDT nccl"] == "no, needs a PyTorch built with it"


CAN_FORM_A_GROUP = """
import torch.distributed as group
group.init_process_group("gloo", rank=0, world_size=1, store=group.HashStore())
tensor = __import__("torch").ones(1)
group.all_reduce(tensor)
"""


def test_has_transport_agrees_with_what_torch_does_here():
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0"}
    tried = subprocess.run([sys.executable, "-c", CAN_FORM_A_GROUP], capture_output=True, env=environment, timeout=120)
    assert doctor.has_transport("GLOO") == doctor.has_transport("gloo") == (tried.returncode == 0)
    assert doctor.has_transport("cuda_ipc") == (doctor.gpus() > 0)
    if doctor.gpus() < 2:
        assert not doctor.has_transport("nccl")


def test_has_transport_refuses_other_names():
    with pytest.raises(ValueError, match="'banana'; it has gloo, nixl"):
        doctor.has_transport("banana")


def test_the_doctor_runs_here_without_importing_ray():
    code = "import sys; from klaw_course import doctor; doctor.examine(); print('ray' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "False", run.stderr


def test_the_command_prints_one_screen():
    run = subprocess.run([sys.executable, "-m", "klaw_course.doctor"], capture_output=True, text=True, timeout=120)
    lines = run.stdout.splitlines()
    assert run.returncode == any(line.startswith("FAIL") for line in lines), run.stdout + run.stderr
    assert lines[-1].startswith("The course can") and len(lines) <= 40
    assert all(len(line) <= 80 for line in lines)
