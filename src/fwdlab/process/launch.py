"""Puts the lab's process into namespaces of its own, so that its end is the end of everything in it.

    supervisor   in the host's namespaces; its number stands in the lab's state file
      waiter     made the namespaces; has to stay, because it is the parent of
        reaper   process 1 inside: collects orphans, and takes everything along when it ends
          service  process 2: returns from `enter_namespaces`

Each asks the kernel to be killed with its parent. The network namespace stays the host's: the lab listens on
loopback.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NoReturn

from fwdlab.errors import LabError
from fwdlab.process import kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SPACES = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC
_MEND_NAMESPACES = (
    "Run as root (sudo), or allow unprivileged user namespaces: an AppArmor profile for python3, or sysctl"
    " kernel.apparmor_restrict_unprivileged_userns=0 and user.max_user_namespaces above 0"
)
_PROGRAMS = {
    "ip": "iproute2",
    "nft": "nftables",
    "iptables": "iptables",
    "iptables-restore": "iptables",
    "curl": "curl",
    "python3": "python3",
}


_host_processes = -1
"""The host's /proc, kept open from before the lab's own was mounted over it."""


class _StepError(Exception):
    def __init__(self, step: str, error: OSError) -> None:
        super().__init__(step)
        self.step = step
        self.number = error.errno or 0


@dataclass(frozen=True)
class Requirement:
    """Something that the lab needs of this machine.

    Attributes:
        name: short name, e.g. `namespaces` or `nft`.
        ok: whether it is there.
        detail: what was found, or which step was refused with which error.
        mend: what to do when it is missing, empty otherwise.
    """

    name: str
    ok: bool
    detail: str
    mend: str = ""


def enter_namespaces() -> None:
    """Return in a new process inside new namespaces; the calling process becomes its supervisor.

    The supervisor never returns: it passes SIGTERM and SIGINT on and exits with the service's status. Must be
    called before any thread is started.

    Raises:
        LabError: `platform_not_supported`; `namespaces_refused` with the step that the kernel refused. Raised
            in the calling process; nothing is left of the attempt.
    """
    _require_linux()
    user = _choose_user_namespace()
    reader, writer = os.pipe()
    supervisor = os.getpid()
    waiter = os.fork()
    if waiter:
        os.close(writer)
        _supervise(waiter, reader)
    os.close(reader)
    _wait_inside(supervisor, writer, user=user)


def _require_linux() -> None:
    if sys.platform != "linux":
        raise LabError(
            "platform_not_supported",
            f"the lab needs Linux kernel namespaces; this is {sys.platform}",
            "Use the dev container, a Linux machine or WSL 2",
        )


def _choose_user_namespace() -> bool:
    """Whether to have a user namespace: yes where it works, root can do without."""
    refused = _try_in_child(user=True)
    if refused is None:
        return True
    if os.geteuid() == 0:
        refused = _try_in_child(user=False)
        if refused is None:
            return False
    raise _refusal(*refused)


def _refusal(step: str, number: int) -> LabError:
    name = errno.errorcode.get(number, str(number))
    return LabError(
        "namespaces_refused", f"the kernel refused '{step}': {os.strerror(number)} ({name})", _MEND_NAMESPACES
    )


def _supervise(waiter: int, reader: int) -> None:
    """Wait for the start; on success, stay until the end of the service and exit as it did."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: _pass_on(waiter, received))
    report = b""
    while not report.endswith(b"\n") and (part := os.read(reader, 4096)):
        report += part
    os.close(reader)
    if report != b"ok\n":
        _collect(waiter)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        step, error_number = json.loads(report) if report.endswith(b"\n") else ("start", errno.ECHILD)
        raise _refusal(step, error_number)
    os._exit(_collect(waiter))


def _pass_on(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)


def _collect(child: int) -> int:
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _wait_inside(supervisor: int, writer: int, *, user: bool) -> None:
    """Waiter, reaper and service; returns in the service only."""
    try:
        kernel.die_with_parent(supervisor)
        _make_namespaces(user=user)
        with _step("fork"):
            reaper = os.fork()
        if reaper:
            os.close(writer)
            _wait_for(reaper)
        kernel.die_with_parent()
        _keep_host_processes()
        _make_mounts()
        with _step("fork"):
            service = os.fork()
        if service:
            os.close(writer)
            _reap(service)
        kernel.die_with_parent(1)
    except _StepError as refused:
        os.write(writer, json.dumps([refused.step, refused.number]).encode() + b"\n")
        os._exit(1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.write(writer, b"ok\n")
    os.close(writer)


def _wait_for(reaper: int) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: _pass_on(reaper, received))
    os._exit(_collect(reaper))


def _reap(service: int) -> NoReturn:
    """Collect whatever ends, until the service does."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: _pass_on(service, received))
    while True:
        child, status = os.wait()
        if child == service:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _StepError(name, error) from error


def _make_namespaces(*, user: bool) -> None:
    uid, gid = os.geteuid(), os.getegid()
    with _step("unshare user, mount, pid, ipc" if user else "unshare mount, pid, ipc"):
        kernel.unshare(_SPACES | (kernel.CLONE_NEWUSER if user else 0))
    if not user:
        return
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {uid} 1"),
        ("gid_map", f"0 {gid} 1"),
    ):
        with _step(f"write /proc/self/{name}"):
            descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)


def _make_mounts() -> None:
    with _step("make mounts private"):
        kernel.make_private()
    with _step("mount /proc"):
        kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)


def _keep_host_processes() -> None:
    global _host_processes  # noqa: PLW0603 - there is one /proc of the host
    with _step("open /proc"):
        _host_processes = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def host_number(network: int) -> int | None:
    """What the host calls the first process of a node.

    Args:
        network: open file of the node's network namespace.

    Returns:
        The process number in the namespace that `enter_namespaces` was called in, None when there is no such
        process or `enter_namespaces` was not called.
    """
    if _host_processes < 0:
        return None
    wanted = f"net:[{os.fstat(network).st_ino}]"
    base = f"/proc/self/fd/{_host_processes}"
    for entry in os.listdir(_host_processes):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            if os.readlink(f"{base}/{entry}/ns/net") != wanted:  # noqa: PTH115 - as above
                continue
            with open(f"{base}/{entry}/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
                numbers = next((line.split()[1:] for line in file if line.startswith("NSpid:")), [])
            if numbers[-1:] == ["1"]:
                return int(entry)
    return None


def _try_in_child(*, user: bool, then: Callable[[], None] | None = None) -> tuple[str, int] | None:
    """Make the namespaces in a child and do `then` in them; the refused step and its errno, or None."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            _make_namespaces(user=user)
            inner = os.fork()
            if inner:
                os.close(writer)
                os._exit(_collect(inner))
            kernel.die_with_parent()
            _make_mounts()
            if then:
                then()
        except _StepError as refused:
            os.write(writer, json.dumps([refused.step, refused.number]).encode())
        except BaseException as error:  # noqa: BLE001 - a child of fork must never return into its caller
            os.write(writer, json.dumps([f"{type(error).__name__}: {error}", errno.EIO]).encode())
        os._exit(0)
    os.close(writer)
    report = b""
    while part := os.read(reader, 4096):
        report += part
    os.close(reader)
    _collect(child)
    if not report:
        return None
    step, number = json.loads(report)
    return str(step), int(number)


def check() -> tuple[Requirement, ...]:
    """Test what the lab needs by doing it: namespaces and kernel features in a child, programs on PATH.

    Works in a fresh process, because a process with threads must not fork.

    Raises:
        LabError: `platform_not_supported`.
    """
    _require_linux()
    done = subprocess.run(
        [sys.executable, "-m", __name__], capture_output=True, text=True, timeout=30, check=False, cwd="/"
    )
    if done.returncode:
        raise LabError("check_failed", f"the test of this machine failed: {done.stderr.strip()[-300:]}")
    return tuple(Requirement(**entry) for entry in json.loads(done.stdout))


def _check_here() -> tuple[Requirement, ...]:
    programs = tuple(_check_program(name, package) for name, package in _PROGRAMS.items())
    try:
        user = _choose_user_namespace()
    except LabError as refused:
        return (
            Requirement("namespaces", ok=False, detail=refused.message, mend=refused.suggestion),
            *programs,
        )
    kind = "with a user namespace" if user else "as root, without a user namespace"
    spaces = Requirement("namespaces", ok=True, detail=kind)
    if not all(program.ok for program in programs):
        return (spaces, *programs)
    return (spaces, *programs, *(_check_feature(name, user=user) for name in _FEATURES))


def _search_path() -> str:
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


def _check_program(name: str, package: str) -> Requirement:
    found = shutil.which(name, path=_search_path())
    if found:
        return Requirement(name, ok=True, detail=found)
    return Requirement(name, ok=False, detail="not on PATH", mend=f"Install the package {package}")


def _check_feature(name: str, *, user: bool) -> Requirement:
    feature, mend = _FEATURES[name]
    refused = _try_in_child(user=user, then=feature)
    if refused is None:
        return Requirement(name, ok=True, detail="works")
    step, number = refused
    return Requirement(name, ok=False, detail=f"{step}: {os.strerror(number)}", mend=mend)


def _try_network() -> None:
    with _step("unshare net"):
        kernel.unshare(kernel.CLONE_NEWNET)
    environment = {"PATH": _search_path()}
    chain = "chain c { type nat hook prerouting priority dstnat; ct mark set 1 dnat to 192.0.2.1\n}"
    nat = f"table ip t {{\n{chain}\n}}\n"
    for argv, text in (
        (["ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"], ""),
        (["nft", "-f", "-"], nat),
    ):
        done = subprocess.run(
            argv, input=text, env=environment, capture_output=True, text=True, timeout=10, check=False
        )
        if done.returncode:
            raise _StepError(f"{argv[0]}: {done.stderr.strip()[:200]}", OSError(errno.EOPNOTSUPP, ""))


def _try_overlay() -> None:
    place = tempfile.gettempdir()  # covered in this process's own mount namespace only
    with _step("mount tmpfs"):
        kernel.mount("tmpfs", place, "tmpfs", 0, "mode=700")
    for name in ("upper", "work", "merged"):
        os.mkdir(f"{place}/{name}")  # noqa: PTH102 - pathlib is not worth its import here
    with _step("mount overlay"):
        options = f"lowerdir=/etc,upperdir={place}/upper,workdir={place}/work"
        kernel.mount("overlay", f"{place}/merged", "overlay", 0, options)
    with _step("make mounts read-only"):
        kernel.make_read_only()


_FEATURES: dict[str, tuple[Callable[[], None], str]] = {
    "network": (
        _try_network,
        "Load the kernel modules veth, nf_tables and nf_nat (modprobe), or use another kernel",
    ),
    "overlay": (_try_overlay, "Needs Linux 5.12 or newer with overlayfs in user namespaces"),
}

if __name__ == "__main__":
    json.dump([asdict(requirement) for requirement in _check_here()], sys.stdout)
