"""What clusters on one machine share: the turn to start and the folders in /tmp."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from klaw_course.cluster import host
from klaw_course.wait import wait_until

fork = multiprocessing.get_context("fork")  # a new interpreter for each of 25 would take longer than all else


@pytest.fixture
def folder(monkeypatch):
    """An empty folder that every user may write to, in the place of /tmp."""
    folder = Path(tempfile.mkdtemp(prefix="turns-"))
    folder.chmod(0o1777)
    monkeypatch.setattr(host, "TMP", folder)
    yield folder
    shutil.rmtree(folder)


def in_another_process(function, *arguments) -> multiprocessing.Process:
    process = fork.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def take_a_turn(everybody_is_here, log) -> None:
    everybody_is_here.wait(30)
    with open(log, "a", buffering=1) as out, contextlib.redirect_stdout(out), host.turn_to_start():
        print(f"begin {os.getpid()}")
        print(f"end {os.getpid()}")


def test_25_that_start_at_once_do_so_one_after_the_other(folder):
    everybody_is_here, log = fork.Barrier(25), folder / "log"
    processes = [in_another_process(take_a_turn, everybody_is_here, log) for _ in range(25)]
    for process in processes:
        process.join(30)
    lines = [line for line in log.read_text().splitlines() if "waits for its turn" not in line]
    assert [line.split()[0] for line in lines] == ["begin", "end"] * 25
    assert all(begin.split()[1] == end.split()[1] for begin, end in zip(lines[::2], lines[1::2], strict=True))
    assert {int(line.split()[1]) for line in lines} == {process.pid for process in processes}


def test_who_waits_says_so_once_and_goes_on_after_a_while(folder, capsys):
    with host.turn_to_start(), host.turn_to_start(wait_s=0.3):
        pass
    assert capsys.readouterr().out.count("yours waits for its turn") == 1


def test_an_interrupted_start_gives_its_turn_back(folder, capsys):
    with pytest.raises(KeyboardInterrupt), host.turn_to_start():
        raise KeyboardInterrupt
    with host.turn_to_start():
        assert capsys.readouterr().out == ""


def take_a_turn_as_nobody() -> None:
    if os.getuid() == 0:
        os.setuid(65534)
    with host.turn_to_start():
        pass


def test_the_file_may_belong_to_another_user_and_be_read_only(folder):
    mask = os.umask(0o077)
    try:
        with host.turn_to_start():
            (file,) = folder.iterdir()
    finally:
        os.umask(mask)
    file.chmod(file.stat().st_mode & 0o444)
    process = in_another_process(take_a_turn_as_nobody)
    process.join(10)
    assert process.exitcode == 0


def own_a_folder(named, until) -> None:
    """As in a container: the process id in the folder's name is another process's here, or none's."""
    os.environ["JPY_SESSION_NAME"] = "notebooks/03_scheduling.ipynb"
    host.new_folder().rename(named)
    until.wait(30)


def test_a_folder_lives_as_long_as_its_owner_whatever_its_process_id(folder):
    until, named = fork.Event(), folder / "klaw-999999999-0000"
    owner = in_another_process(own_a_folder, named, until)
    wait_until(named.exists, "the folder")
    host.delete_folders_of_the_dead()
    assert named.exists()
    (sentence,) = host.others()
    assert "cluster of notebooks/03_scheduling.ipynb" in sentence and f"process {owner.pid})" in sentence
    until.set()
    owner.join(10)
    assert host.others() == []
    host.delete_folders_of_the_dead()
    assert not named.exists()


def test_ones_own_folder_and_that_of_a_parent_are_not_anothers(folder):
    own = host.new_folder()
    said = fork.Queue()
    child = in_another_process(lambda: (host._owned.clear(), said.put(host.others())))
    assert said.get(timeout=10) == [] and host.others() == []
    child.join(10)
    host.delete_folders_of_the_dead()
    assert own.exists()
    host.delete_folder(own)
    assert not own.exists()
    host.delete_folder(own)


def test_what_is_no_folder_of_ours_or_goes_meanwhile_is_passed_over(folder, monkeypatch):
    (folder / "klaw-1-file").touch()
    (folder / "klaw-1-empty").mkdir()
    (folder / "klaw-1-link").symlink_to(folder / "klaw-1-gone")
    host.delete_folders_of_the_dead()
    assert host.others() == [] and (folder / "klaw-1-empty").exists()


@pytest.mark.parametrize(
    ("prefix", "proxy", "shown"),
    [
        (None, True, "http://127.0.0.1:8265"),
        ("/user/ada/", False, "http://127.0.0.1:8265"),
        ("/user/ada/", True, "/user/ada/proxy/8265/"),
    ],
)
def test_on_a_hub_the_dashboard_is_where_its_proxy_has_it(monkeypatch, tmp_path, prefix, proxy, shown):
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    if prefix:
        monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", prefix)
    if proxy:
        (tmp_path / "jupyter_server_proxy.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
    assert host.address_for_browser("http://127.0.0.1:8265") == shown
    assert host.address_for_browser("") == ""
