"""The lab's directory: names, lock, privacy, and removal when its process ends in whatever way."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fwdlab.errors import LabError
from fwdlab.process import requirements, start
from fwdlab.process.state import LabDirectory, LabState, labs_root

STATE = LabState(name="a", pid=1, base_url="https://127.0.0.1:1", proxy_port=2, control_token="t")

HOLDER = """
import os, sys, time
from fwdlab.process import janitor
from fwdlab.process.state import LabDirectory
directory = LabDirectory("a", os.environ)
directory.hold()
janitor.start(directory.remove)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}


@pytest.mark.parametrize("name", ["", "A", "-a", "a/b", "..", "a" * 32, "a b"])
def test_a_name_that_cannot_be_a_directory_is_refused(name: str, environ: dict[str, str]) -> None:
    with pytest.raises(LabError) as caught:
        LabDirectory(name, environ)
    assert caught.value.code == "lab_name_invalid"


def test_a_relative_state_home_is_ignored() -> None:
    assert labs_root({"XDG_STATE_HOME": "here", "HOME": "/home/u"}).is_absolute()


@pytest.mark.parametrize(
    ("number", "hint"), [(errno.ENOSPC, "Make room in"), (errno.EMFILE, "ulimit -n"), (errno.EIO, "lab.log")]
)
def test_what_the_system_refuses_is_said_with_what_helps(
    environ: dict[str, str], number: int, hint: str
) -> None:
    refused = OSError(number, os.strerror(number), "file")
    said = LabDirectory("a", environ).refusal(refused, "The lab cannot start")
    assert said.message == f"The lab cannot start: file: {os.strerror(number)}."
    assert hint in said.suggestion


@pytest.mark.parametrize(("limit", "enough"), [(200, False), (1024, True), (-1, True)])
def test_a_lab_needs_many_open_files(monkeypatch: pytest.MonkeyPatch, limit: int, *, enough: bool) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, limit))
    found = requirements._check_files()
    assert (found.ok, bool(found.suggestion)) == (enough, not enough)


@pytest.mark.parametrize("name", ["a", "a/lock"])
def test_a_link_in_place_of_a_labs_files_is_not_followed(
    environ: dict[str, str], tmp_path: Path, name: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    (elsewhere / "lock").touch()
    (elsewhere / "mine").touch()
    place = labs_root(environ) / name
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere / "lock" if name.endswith("lock") else elsewhere)
    with pytest.raises(LabError) as caught:
        LabDirectory("a", environ).hold()
    assert caught.value.code == "lab_directory_foreign"
    with pytest.raises(LabError):
        start.stop(LabDirectory("a", environ))
    assert (elsewhere / "mine").exists()
    assert (elsewhere / "lock").exists()
    assert elsewhere.stat().st_mode & 0o777 == 0o755


def test_what_a_killed_lab_left_is_removed_and_a_running_one_is_named(environ: dict[str, str]) -> None:
    left, other, third = (LabDirectory(name, environ) for name in "abc")
    os.close(left.hold())
    left.save(STATE)
    held = other.hold()
    try:
        with pytest.raises(LabError) as caught:
            left.load()
        assert "These run: b;" in caught.value.suggestion
        assert "had been killed; its files are gone now" in caught.value.message
        assert not left.path.exists()
        os.close(left.hold())
        os.close(third.hold())
        assert not start.stop(left)
        assert not left.path.exists()
        assert not third.path.exists()
        with pytest.raises(LabError) as caught:
            start.stop(left)
        assert caught.value.code == "lab_not_running"
        assert "killed" not in caught.value.message
        assert other.path.exists()
    finally:
        os.close(held)


def test_state_is_private_and_read_back_only_while_the_lab_runs(environ: dict[str, str]) -> None:
    directory = LabDirectory("a", environ)
    os.close(directory.hold())
    directory.save(STATE)
    assert directory.path.stat().st_mode & 0o777 == 0o700
    assert (directory.path / "lab.json").stat().st_mode & 0o777 == 0o600
    with pytest.raises(LabError) as caught:
        directory.load()
    assert caught.value.code == "lab_not_running"
    descriptor = directory.hold()
    try:
        assert [entry.name for entry in directory.path.iterdir()] == ["lock"]
        directory.save(STATE)
        assert directory.load() == STATE
        with pytest.raises(LabError) as second:
            directory.hold()
        assert second.value.code == "lab_already_running"
    finally:
        os.close(descriptor)


def test_a_directory_that_no_lab_made_is_not_removed(environ: dict[str, str]) -> None:
    directory = LabDirectory("a", environ)
    directory.path.mkdir(parents=True)
    (directory.path / "precious").touch()
    with pytest.raises(LabError) as caught:
        directory.hold()
    assert caught.value.code == "lab_directory_foreign"
    directory.remove()
    assert (directory.path / "precious").exists()


@pytest.mark.parametrize("left", [("azure",), ("azd",), ("azure", "azd")])
def test_what_az_and_azd_leave_in_an_ended_lab_is_taken_over(
    left: tuple[str, ...], environ: dict[str, str]
) -> None:
    directory = LabDirectory("a", environ)
    for name in left:
        (directory.path / name).mkdir(parents=True)
        (directory.path / name / "config").touch()
    assert directory.wait_for_end(0)
    assert not directory.running()
    os.close(directory.hold())
    assert [entry.name for entry in directory.path.iterdir()] == ["lock"]


def test_a_directory_with_more_than_az_and_azd_leave_is_not_taken_over(environ: dict[str, str]) -> None:
    directory = LabDirectory("a", environ)
    (directory.path / "azure").mkdir(parents=True)
    (directory.path / "precious").touch()
    with pytest.raises(LabError) as caught:
        directory.hold()
    assert caught.value.code == "lab_directory_foreign"
    assert (directory.path / "azure").exists()


def test_a_janitor_that_comes_late_removes_nothing_of_the_next_lab(environ: dict[str, str]) -> None:
    directory = LabDirectory("a", environ)
    lock = directory.path / "lock"
    first = directory.hold()
    late = threading.Thread(target=directory.remove)
    late.start()
    while sum(entry.exists() and entry.samefile(lock) for entry in Path("/proc/self/fd").iterdir()) < 2:
        time.sleep(0.01)
    lock.unlink()
    second = directory.hold()
    os.close(first)
    late.join(10)
    assert not late.is_alive()
    assert directory.running()
    os.close(second)
    directory.remove()
    assert not labs_root(environ).exists()


def test_many_at_once_have_one_holder(environ: dict[str, str]) -> None:
    """Each process takes the lab and gives it back by removing it, while the others try."""
    program = """
import os
from fwdlab.process import state
from fwdlab.errors import LabError
state.HOLD_SECONDS = 0.05
directory = state.LabDirectory("a", os.environ)
for _ in range(50):
    try:
        lock = directory.hold()
    except LabError as error:
        assert error.code == "lab_already_running", error
        continue
    assert os.listdir(directory.path) == ["lock"]
    for name in ("tls", "run"):
        (directory.path / name).mkdir()
    (directory.path / "lab.json").touch()
    assert sorted(os.listdir(directory.path)) == ["lab.json", "lock", "run", "tls"]
    os.close(lock)
    directory.remove()
"""
    many = [subprocess.Popen([sys.executable, "-c", program], env=environ) for _ in range(4)]
    assert [process.wait(60) for process in many] == [0] * 4
    assert not labs_root(environ).exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_janitor_removes_the_files_of_a_killed_process(
    number: signal.Signals, environ: dict[str, str], tmp_path: Path
) -> None:
    directory = LabDirectory("a", environ)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert directory.running()
        os.kill(holder.pid, number)
        assert directory.wait_for_end(10)
        assert not (tmp_path / "fwdctl").exists()
    finally:
        holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()


def test_a_state_home_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LabError) as caught:
        LabDirectory("a", {"XDG_STATE_HOME": str(tmp_path / "file"), "HOME": "/"}).hold()
    assert caught.value.code == "lab_directory_refused"
    assert "XDG_STATE_HOME" in caught.value.suggestion
