"""Names that Ray does not document are touched in one file, which says when one is gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import ray

import klaw_course
from klaw_course.cluster import _ray

PACKAGE = Path(klaw_course.__file__).parent
UNDOCUMENTED = re.compile(
    r"ray\._private|_raylet\b|ray\.cluster_utils|auto_init|_node_name|_ray_params|_deduplicator|_system_config"
    r"|\._actor_id|\._ray_actor_id|remote_function\.|\._function\b|actor\.ActorHandle\)|global_worker"
)


def test_undocumented_names_of_ray_stand_in_one_file():
    found = {
        (str(path.relative_to(PACKAGE)), name)
        for path in PACKAGE.rglob("*.py")
        if path.name != "_ray.py"
        for name in UNDOCUMENTED.findall(path.read_text())
    }
    assert found <= set(), "call a function of klaw_course/cluster/_ray.py instead"
    assert len(UNDOCUMENTED.findall((PACKAGE / "cluster" / "_ray.py").read_text())) > 10  # the pattern finds them


@pytest.mark.parametrize(
    ("module", "name", "call"),
    [
        ("ray._private.ray_logging", "stdout_deduplicator", lambda: _ray.show_every_line()),
        ("ray._private.ray_constants", "ENABLE_RAY_CLUSTER", lambda: _ray.keep_to_loopback(False)),
        ("ray._private.auto_init_hook", "auto_init_ray", lambda: _ray.refuse_to_connect_unasked("no")),
        ("ray.remote_function", "RemoteFunction", lambda: _ray.is_remote_function(1)),
        ("ray.cluster_utils", "Cluster", lambda: _ray.simulation()),
    ],
)
def test_a_name_that_is_gone_is_one_sentence(monkeypatch, module, name, call):
    import importlib

    monkeypatch.delattr(importlib.import_module(module), name)
    _ray._module.cache_clear()
    with pytest.raises(RuntimeError, match=rf"Ray {ray.__version__} has no {module}\.{name}, .* tested with Ray 2\."):
        call()


def test_a_module_that_is_gone_is_one_sentence():
    with pytest.raises(RuntimeError, match=r"has no ray\._private\.nothing, "):
        _ray._module("ray._private.nothing")


def test_the_tested_ray_is_the_one_that_is_asked_for():
    project = (PACKAGE.parent / "pyproject.toml").read_text()
    assert f'"ray[default]=={_ray.TESTED}"' in project


def test_functions_and_handles_are_told_apart():
    def plain():
        pass

    remote = ray.remote(plain)
    assert _ray.is_remote_function(remote) and not _ray.is_remote_function(plain)
    assert _ray.function_in(remote) is plain
    assert not _ray.is_actor_handle(remote)


def test_hide_hides_rays_reports_and_never_what_a_task_prints(capsys):
    from ray._private import worker

    def send(line, pid, is_err):
        batch = {"lines": [line], "pid": pid, "ip": "127.0.0.1", "localhost": "127.0.0.1", "is_err": is_err, "job": ""}
        worker.print_to_stdstream(batch, ignore_prefix=False)

    def shown() -> str:
        for number, (pid, is_err) in enumerate([("11", False), (12, False), ("13", True), ("raylet", False)]):
            send(f"a peer {number}", pid, is_err)
            send("the same line", pid, is_err)
        send("peer", "gcs_server", True)
        return "".join(capsys.readouterr())

    try:
        _ray.show_every_line(but_not="peer|serial")
        said = shown()
        assert "a peer 0" in said and "a peer 1" in said
        assert said.count("peer") == 2  # neither from standard error, nor from a raylet or the GCS
        assert said.count("the same line") == 4
        _ray.show_every_line()
        assert shown().count("peer") == 5
    finally:
        _ray.show_lines_as_ray_does()
    assert shown().count("the same line") < 4  # Ray merges them
