"""Start and end of the lab's process: nothing is left behind, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fwdlab.errors import LabError
from fwdlab.process import launch, requirements

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab

PROGRAM = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[2])
from fwdlab.nodes import fork_server
from fwdlab.process import launch
launch.enter_namespaces()
fork_server.start()
from pathlib import Path
from support.bench import seed_bench
async def main():
    async with seed_bench(Path(sys.argv[1])) as bench:
        print("ready", bench.plane.node_pid("ci-hub"), flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


def descendants(pid: int) -> set[int]:
    children: dict[int, set[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), set()).add(int(entry.name))
    found, todo = set(), [pid]
    while todo:
        for child in children.get(todo.pop(), set()):
            found.add(child)
            todo.append(child)
    return found


def alive(pids: set[int]) -> set[int]:
    return {
        pid
        for pid in pids
        if Path(f"/proc/{pid}").exists() and "Z (" not in Path(f"/proc/{pid}/stat").read_text()
    }


def host_state() -> tuple[list[str], list[str], list[str]]:
    """Mounts and links of the host that a lab could leave."""
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "fwdlab" in line]
    links = sorted(p.name for p in Path("/sys/class/net").iterdir())
    files = sorted(p.name for p in Path("/tmp").iterdir() if p.name.startswith("fwdlab-launch"))
    return mounts, links, files


@dataclass
class Started:
    pid: int
    node: int
    process: subprocess.Popen[str]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Started]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(Path(__file__).resolve().parent.parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    words = process.stdout.readline().split()
    assert words[:1] == ["ready"], words
    yield Started(process.pid, int(words[1]), process)
    process.kill()
    process.wait(5)
    process.stdout.close()


def gone(pids: set[int], seconds: float = 3) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("who", ["supervisor", "service"])
def test_kill_of_any_holder_ends_everything(lab: Started, who: str) -> None:
    before = host_state()
    everything = descendants(lab.pid)
    assert len(everything) > 15
    victim = {"supervisor": lab.pid, "service": min(everything)}[who]
    os.kill(victim, signal.SIGKILL)
    lab.process.wait(5)
    assert gone(everything), alive(everything)
    assert host_state() == before


def test_node_can_be_entered_from_the_host(lab: Started) -> None:
    argv = [
        "nsenter",
        "--target",
        str(lab.node),
        "--user",
        "--preserve-credentials",
        "--mount",
        "--net",
        "--uts",
    ]
    done = subprocess.run(
        [*argv, "sh", "-c", "hostname; ip -o -4 addr show eth0"],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    assert done.stdout.startswith("ci-hub\n")
    assert "10.0.1.68/26" in done.stdout


def test_sigterm_is_passed_on_and_the_status_comes_back() -> None:
    program = "import signal,sys,time\nfrom fwdlab.process import launch\nlaunch.enter_namespaces()\n"
    program += (
        "signal.signal(signal.SIGTERM, lambda *a: sys.exit(7))\nprint('ready', flush=True)\ntime.sleep(30)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait(5) == 7
    process.stdout.close()


def test_service_listens_in_the_hosts_network() -> None:
    program = (
        "import os\nbefore=os.readlink('/proc/self/ns/net')\nfrom fwdlab.process import launch\nlaunch.enter_namespaces()\n"
        "print(os.getpid(), os.getuid(), before==os.readlink('/proc/self/ns/net'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=10, check=True
    )
    assert done.stdout == "1 0 True\n"


def test_refusal_names_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "try_in_child", lambda **_: ("write /proc/self/uid_map", 1))
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked although refused"))
    with pytest.raises(LabError) as error:
        launch.enter_namespaces()
    assert error.value.code == "namespaces_refused"
    assert "uid_map" in error.value.message
    assert "EPERM" in error.value.message
    assert "sudo" in error.value.suggestion


def test_refused_by_the_kernel_itself() -> None:
    """A process that may not have user namespaces: a real refusal, and nothing is left of it."""
    limit = "import os\nopen('/proc/sys/user/max_user_namespaces','w').write('0')\n"
    outer = (
        "import ctypes,os\nl=ctypes.CDLL(None)\nu=os.geteuid()\nassert l.unshare(0x10000000)==0\n"
        "open('/proc/self/setgroups','w').write('deny')\nopen('/proc/self/uid_map','w').write(f'1000 {u} 1')\n"
    )
    program = (
        outer.replace("1000 {u}", "0 {u}")
        + limit
        + "from fwdlab.process import launch\nfrom fwdlab.errors import LabError\n"
        "os.geteuid = lambda: 1000\n"
        "try:\n launch.enter_namespaces()\nexcept LabError as e:\n print(e.code, e.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=10, check=False
    )
    assert done.stdout.startswith("namespaces_refused The kernel refused 'unshare user"), done


def test_other_platforms_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    for function in (launch.enter_namespaces, requirements.check):
        with pytest.raises(LabError) as error:
            function()
        assert error.value.code == "platform_not_supported"


def test_everything_that_the_lab_needs_is_there() -> None:
    assert [requirement for requirement in requirements.check() if not requirement.ok] == []
