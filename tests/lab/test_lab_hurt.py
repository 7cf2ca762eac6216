"""What hurts a lab, and what it says then: killed with its janitor, a full disk, limits, what is missing."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from support.lab_processes import children_of, service_processes, wait_for
from support.programs import FWDCTL, RunningLab, clean_environ, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.lab


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "state").mkdir()
    yield tmp_path
    for name in ("a", "b"):
        run([*FWDCTL, "lab", "down", "--name", name], environ=clean_environ(tmp_path), expect=None)


@pytest.mark.parametrize("verb", ["down", "status", "up"])
def test_what_was_killed_with_its_janitor_is_cleaned_up_and_said(home: Path, verb: str) -> None:
    RunningLab.up(home, "a", "--empty")
    files = home / "state/fwdctl/labs/a"
    supervisor = json.loads((files / "lab.json").read_text())["pid"]
    janitor = next(pid for pid in children_of(supervisor)[1:] if children_of(pid) == [pid])
    for pid in (janitor, supervisor):
        os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: not service_processes(home))
    assert (files / "credentials.json").exists()
    argv = (
        [*FWDCTL, "lab", verb, "--name", "b", "--empty"]
        if verb == "up"
        else [*FWDCTL, "lab", verb, "--name", "a"]
    )
    done = run(argv, environ=clean_environ(home), cwd=home, expect=3 if verb == "status" else 0)
    assert "had been killed" in done.stdout + done.stderr
    assert "files are gone now" in done.stdout + done.stderr
    assert not files.exists()


def in_namespace(*prepare: str) -> list[str]:
    """`fwdctl lab up`, then `down`, in a user and mount namespace that some commands have spoiled."""
    down = f"{' '.join(FWDCTL)} lab down --name a >/dev/null 2>&1"
    script = "; ".join([*prepare, '"$@"', "code=$?", down, "exit $code"])
    outer = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    return [*outer, *FWDCTL, "lab", "up", "--name", "a"]


def test_a_missing_program_is_named_with_its_package(home: Path) -> None:
    argv = in_namespace("mount --bind /dev/null $(readlink -f /usr/sbin/iptables)")
    done = run(argv, environ=clean_environ(home), cwd=home, expect=3)
    assert "iptables: not on PATH" in done.stderr
    assert "Install the package iptables" in done.stderr
    assert not (home / "state" / "fwdctl").exists()


def test_few_open_files(home: Path) -> None:
    argv = [*FWDCTL, "lab", "up", "--name", "a"]
    done = run(["prlimit", "--nofile=256:256", *argv], environ=clean_environ(home), cwd=home, expect=3)
    assert "open files: at most 256" in done.stderr
    assert "ulimit -n" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (home / "state" / "fwdctl").exists()


@pytest.mark.parametrize("pages", [2, 8, 16, 64])
def test_a_full_state_directory(home: Path, pages: int) -> None:
    """Wherever in the start its last page goes: a message, no traceback, no lab."""
    argv = in_namespace(f"mount -t tmpfs -o size={pages * 4096} tmpfs {home}/state")
    done = run(argv, environ=clean_environ(home), cwd=home, expect=None)
    assert done.returncode in {1, 3}, done
    assert "ERROR: " in done.stderr
    assert "XDG_STATE_HOME" in done.stderr
    assert "Traceback" not in done.stderr
    assert wait_for(lambda: not service_processes(home))


def test_a_machine_without_tunnel_devices(home: Path) -> None:
    argv = in_namespace("if [ -d /dev/net ]; then mount -t tmpfs tmpfs /dev/net; fi")
    done = run([*argv, "--empty"], environ=clean_environ(home), cwd=home)
    assert "answers at" in done.stderr


def test_a_kernel_that_refuses_namespaces(home: Path) -> None:
    argv = in_namespace("echo 0 >/proc/sys/user/max_user_namespaces")
    argv[-len(FWDCTL) - 4 : -len(FWDCTL) - 4] = ["setpriv", "--bounding-set=-all"]
    done = run(argv, environ=clean_environ(home), cwd=home, expect=3)
    assert "namespaces" in done.stderr
    assert "sudo" in done.stderr
    assert not (home / "state" / "fwdctl").exists()
