"""The life of a lab: started once, found again, gone without a trace however it ends."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.lab_processes import children_of, memory_of, processes_of, service_processes, wait_for
from support.programs import FWDCTL, RunningLab, clean_environ, run

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab

SPACES = ("net", "mnt", "pid", "uts", "ipc", "user")


def process_of(role: str, supervisor: int) -> int:
    """Number of one of the lab's own processes; the service is told by its number in the lab's namespace."""
    if role == "supervisor":
        return supervisor
    for pid in children_of(supervisor):
        numbers = Path(f"/proc/{pid}/status").read_text().partition("NSpid:")[2].splitlines()[0].split()
        if numbers[1:] == ["1"]:
            return pid
    raise AssertionError(role)


def spaces_of(process: Path | str) -> set[str]:
    """A process's namespaces; none if it has ended."""
    with contextlib.suppress(OSError):
        return {str(Path("/proc", str(process), "ns", kind).readlink()) for kind in SPACES}
    return set()


def hold(pids: list[int], stack: contextlib.ExitStack) -> set[str]:
    """The namespaces of processes, held open: the kernel gives the number of one that is gone to the next."""
    held = set()
    for pid, kind in itertools.product(pids, SPACES):
        with contextlib.suppress(OSError):
            descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
            stack.callback(os.close, descriptor)
            held.add(f"{kind}:[{os.fstat(descriptor).st_ino}]")
    return held


def spaces_in_use() -> set[str]:
    return set().union(*(spaces_of(process.name) for process in Path("/proc").glob("[0-9]*")))


def state(home: Path, name: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(
        (home / "state" / "fwdctl" / "labs" / name / "lab.json").read_text()
    )
    return document


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "state").mkdir()
    yield tmp_path
    for name in ("a", "b"):
        run([*FWDCTL, "lab", "down", "--name", name], environ=clean_environ(tmp_path), expect=None)


@pytest.mark.parametrize("how", ["down", "supervisor", "service"])
def test_nothing_is_left(home: Path, how: str) -> None:
    files, mounts = sorted(home.rglob("*")), Path("/proc/self/mountinfo").read_text()
    RunningLab.up(home, "a")
    supervisor = int(str(state(home, "a")["pid"]))
    pids = children_of(supervisor)
    with contextlib.ExitStack() as stack:
        spaces = hold(pids, stack) - spaces_of("self")
        assert len(pids) > 5
        assert len(spaces) > 10
        if how == "down":
            run([*FWDCTL, "lab", "down", "--name", "a"], environ=clean_environ(home))
        else:
            os.kill(process_of(how, supervisor), signal.SIGKILL)
        assert wait_for(lambda: not (home / "state" / "fwdctl").exists()), sorted(home.rglob("*"))
        assert wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        assert wait_for(lambda: not spaces & spaces_in_use())
    assert sorted(home.rglob("*")) == files
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_ctrl_c_while_starting_leaves_nothing(home: Path) -> None:
    process = subprocess.Popen(
        [*FWDCTL, "lab", "demo", "--name", "a"],
        env=clean_environ(home),
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert wait_for((home / "state/fwdctl/labs/a/lab.json").exists, seconds=20)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert wait_for(lambda: not (home / "state" / "fwdctl").exists())


@pytest.mark.parametrize(
    ("number", "code", "at"),
    [
        (signal.SIGINT, 130, "Starting the lab"),
        (signal.SIGINT, 130, "answers at"),
        (signal.SIGTERM, 143, "Deploying: "),
    ],
)
def test_an_interrupted_up_leaves_no_lab_and_says_so(
    home: Path, number: signal.Signals, code: int, at: str
) -> None:
    with subprocess.Popen(
        [*FWDCTL, "lab", "up", "--name", "a"],
        env=clean_environ(home),
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        assert any(at in line for line in process.stderr)
        os.killpg(process.pid, number)
        said = process.stderr.read()
        assert process.wait(timeout=30) == code, said
    assert "Interrupted: lab 'a' " in said
    assert not (home / "state/fwdctl/labs/a").exists()


def test_a_failed_deployment_keeps_the_lab_and_names_its_end(home: Path) -> None:
    refused = {"type": "Microsoft.Sql/servers", "apiVersion": "2024-01-01", "name": "s"}
    schema = "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#"
    template = {"$schema": schema, "contentVersion": "1.0.0.0", "resources": [refused]}
    (home / "t.json").write_text(json.dumps(template))
    argv = [*FWDCTL, "lab", "up", "--name", "a", "--template", "t.json"]
    done = run(argv, environ=clean_environ(home), cwd=home, expect=1)
    assert "no resource type 'Microsoft.Sql/servers'" in done.stderr
    assert "fwdctl lab down --name a" in done.stderr
    run([*FWDCTL, "lab", "status", "--name", "a"], environ=clean_environ(home))


def test_a_demo_leaves_a_lab_that_runs_already_alone(home: Path) -> None:
    RunningLab.up(home, "a", "--empty")
    done = run([*FWDCTL, "lab", "demo", "--name", "a"], environ=clean_environ(home), cwd=home, expect=2)
    assert "already running" in done.stderr
    run([*FWDCTL, "lab", "status", "--name", "a"], environ=clean_environ(home))


def test_two_labs_live_side_by_side_and_one_name_is_one_lab(home: Path) -> None:
    first = RunningLab.up(home, "a")
    processes = processes_of("a", int(str(state(home, "a")["pid"])))
    # 90 to 107 MB, as other processes share libraries or not; a Python of its own is 10 to 15 MB.
    assert memory_of(processes) < 120e6, {pid: memory_of([pid]) for pid in processes}
    second = RunningLab.up(home, "b")
    assert first.environ["AZURE_SUBSCRIPTION_ID"] != second.environ["AZURE_SUBSCRIPTION_ID"]
    second.fwdctl("probe", "spoke")
    again = run([*FWDCTL, "lab", "up", "--name", "a"], environ=clean_environ(home), cwd=home, expect=2)
    assert "already running" in again.stderr
    second.down()
    first.fwdctl("probe", "spoke")


def test_two_at_once_are_one_lab(home: Path) -> None:
    """Which of two commands wins is not said, but one does, and the other leaves the winner's lab alone."""
    up = [*FWDCTL, "lab", "up", "--empty", "--name", "a", "-o", "json"]
    commands = [
        subprocess.Popen(
            up,
            env=clean_environ(home),
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(2)
    ]
    ends = sorted((json.loads(command.communicate(timeout=60)[0]) for command in commands), key=exit_code)
    services = service_processes(home)
    try:
        assert [exit_code(end) for end in ends] == [0, 2]
        assert ends[1]["errors"][0]["code"] == "lab_already_running"
        supervisor = int(str(state(home, "a")["pid"]))
        assert services <= {*children_of(supervisor)}
        run([*FWDCTL, "lab", "down", "--name", "a"], environ=clean_environ(home))
        assert wait_for(lambda: not service_processes(home))
        assert not (home / "state" / "fwdctl").exists()
    finally:
        for pid in services & service_processes(home):
            os.kill(pid, signal.SIGKILL)


def exit_code(envelope: dict[str, Any]) -> int:
    return int(envelope["exitCode"])


def test_a_port_that_is_taken(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run(
            [*FWDCTL, "lab", "up", "--name", "a", "--port", port],
            environ=clean_environ(home),
            cwd=home,
            expect=None,
        )
    assert done.returncode != 0
    assert port in done.stderr
    assert "--port" in done.stderr
    assert wait_for(lambda: not (home / "state" / "fwdctl").exists())


@pytest.mark.parametrize("verb", ["status", "env", "log", "heal", "down"])
def test_a_lab_that_does_not_run(home: Path, verb: str) -> None:
    done = run([*FWDCTL, "lab", verb, "--name", "a"], environ=clean_environ(home), expect=3)
    assert "is not running" in done.stderr
    assert "fwdctl lab up" in done.stderr
    assert not (home / "state" / "fwdctl").exists()


def test_a_shell_that_goes_on_using_a_lab_that_has_ended(home: Path) -> None:
    lab = RunningLab.up(home, "a", "--empty")
    lab.down()
    for command in (["jump", "status", "-g", "rg-lab"], ["probe", "spoke", "-g", "rg-lab"]):
        done = lab.fwdctl(*command, expect=3)
        lines = done.stderr.splitlines()
        assert (
            f"ERROR: AZURE_CONFIG_DIR names {lab.environ['AZURE_CONFIG_DIR']}, which does not exist." in lines
        )
        assert "Unset it" in lines[-1]
        assert "bundle" not in done.stderr
    assert not (home / "state" / "fwdctl").exists()
    for client in ("azure", "azd"):
        left = home / "state/fwdctl/labs/a" / client
        left.mkdir(parents=True)
        (left / "config").touch()
    again = RunningLab.up(home, "a", "--empty")
    assert again.environ["AZURE_SUBSCRIPTION_ID"] != lab.environ["AZURE_SUBSCRIPTION_ID"]
    again.down()
    assert not (home / "state" / "fwdctl").exists()


def as_nobody() -> list[str]:
    """Words before a command that run it as an ordinary user, who may at least read this Python.

    A Python below a home directory that others may not enter is shown again in a mount namespace, over an empty
    directory in that place.
    """
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    prefix = Path(sys.base_prefix)
    closed = [parent for parent in reversed(prefix.parents) if not parent.stat().st_mode & 0o001]
    if not closed:
        return become
    script = (
        f"mount --bind {prefix} /mnt && mount -t tmpfs -o mode=755 tmpfs {closed[0]} && mkdir -p {prefix}"
        f' && mount --bind /mnt {prefix} && umount /mnt && exec {" ".join(become)} "$@"'
    )
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


@pytest.mark.skipif(os.geteuid() != 0, reason="changing to another user needs root")
def test_an_ordinary_user_needs_no_root() -> None:
    fwdctl = [*as_nobody(), *FWDCTL]
    tried = subprocess.run([*fwdctl, "--version"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"an ordinary user cannot run this checkout: {tried.stderr.strip()[-100:]}")
    home = Path(tempfile.mkdtemp())
    os.chown(home, 65534, 65534)
    environ = clean_environ(home)
    try:
        run([*fwdctl, "lab", "up", "--name", "a"], environ=environ, cwd=home)
        variables = run([*fwdctl, "lab", "env", "--name", "a", "-o", "json"], environ=environ, cwd=home)
        in_lab = {**environ, **variables.json["data"]["variables"]}
        run([*fwdctl, "probe", "spoke"], environ=in_lab, cwd=home)
        run([*fwdctl, "lab", "shell", "--name", "a", "server65", "--", "touch", "/etc/x"], environ=in_lab)
    finally:
        run([*fwdctl, "lab", "down", "--name", "a"], environ=environ, cwd=home, expect=None)
        shutil.rmtree(home)
    assert not Path("/etc/x").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="changing to another user needs root")
def test_a_file_of_the_host_can_be_added_to_where_it_belongs_to_nobody() -> None:
    """Cloud-init that appends to a file such as /etc/sysctl.conf, in a lab of an ordinary user."""
    home = Path(tempfile.mkdtemp())
    (home / "sysctl.conf").write_text("a\n")
    os.chown(home, 65534, 65534)
    program = (
        "import os\nfrom fwdlab.nodes.operations import _open\nout = []\n"
        f"_open({{'path': '{home}/sysctl.conf', 'flags': os.O_WRONLY | os.O_CREAT | os.O_APPEND, 'mode': 0o644}}, [], out)\n"
        "os.write(out[0], b'b\\n')"
    )
    try:
        run([*as_nobody(), sys.executable, "-c", program], environ=clean_environ(home), cwd=home)
        assert (home / "sysctl.conf").read_text() == "a\nb\n"
    finally:
        shutil.rmtree(home)
