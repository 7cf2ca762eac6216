"""Puts the lab's process into namespaces of its own, so that its end is the end of everything in it.

    supervisor   made the namespaces and waits outside of them; its number stands in the lab's state file
      service    process 1 inside, takes everything along when it ends; returns from `enter_namespaces`

Each asks the kernel to be killed with its parent. The network namespace stays the host's: the lab listens on
loopback.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from fwdlab.errors import LabError
from fwdlab.process import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SPACES = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_host_processes = -1
"""The host's /proc, kept open from before the lab's own was mounted over it."""


def enter_namespaces() -> None:
    """Return in a new process inside new namespaces; the calling process becomes its supervisor.

    The supervisor never returns: it passes SIGTERM and SIGINT on and exits with the service's status. Must be
    called before any thread is started.

    Raises:
        LabError: `platform_not_supported`; `namespaces_refused` with the step that the kernel refused. Raised
            in the calling process; nothing is left of the attempt once that ends.
    """
    require_linux()
    user = choose_user_namespace()
    reader, writer = os.pipe()
    try:
        _make_namespaces(user=user)
    except OSError as error:
        raise _refusal(*_refused(error)) from error
    for number in _SIGNALS:  # process 1 gets no signal that it has no handler for
        signal.signal(number, _end)
    service = os.fork()
    if service:
        os.close(writer)
        _supervise(service, reader)
    os.close(reader)
    _become_service(writer)


def collect_orphans() -> None:
    """Let the kernel collect what loses its parent; from now on, this process waits for no child."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def require_linux() -> None:
    if sys.platform != "linux":
        raise LabError(
            "platform_not_supported",
            f"The lab needs Linux kernel namespaces; this is {sys.platform}.",
            "Use the dev container, a Linux machine or WSL 2.",
        )


def choose_user_namespace() -> bool:
    """Whether to have a user namespace: yes where it works, root can do without.

    Raises:
        LabError: `namespaces_refused`.
    """
    refused = try_in_child(user=True)
    if refused is None:
        return True
    if os.geteuid() == 0:
        refused = try_in_child(user=False)
        if refused is None:
            return False
    raise _refusal(*refused)


def _refusal(step: str, number: int) -> LabError:
    name = errno.errorcode.get(number, str(number))
    return LabError(
        "namespaces_refused",
        f"The kernel refused '{step}': {os.strerror(number)} ({name}).",
        "Run as root (`sudo`), or allow unprivileged user namespaces: an AppArmor profile for python3, or"
        " `sysctl kernel.apparmor_restrict_unprivileged_userns=0` and `user.max_user_namespaces` above 0.",
    )


def _supervise(service: int, reader: int) -> None:
    """Wait for the start; on success, stay until the end of the service and exit as it did."""
    _pass_signals_to(service)
    report = b""
    while not report.endswith(b"\n") and (part := os.read(reader, 4096)):
        report += part
    os.close(reader)
    if report == b"ok\n":
        os._exit(_exit_code(service))
    _exit_code(service)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    raise _refusal(*json.loads(report) if report.endswith(b"\n") else ("start", errno.ECHILD))


def _pass_signals_to(child: int) -> None:
    def pass_on(number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in _SIGNALS:
        signal.signal(number, pass_on)


def _exit_code(child: int) -> int:
    """Wait for a child; its exit code as a shell gives it: 128 and the number for a signal."""
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become_service(writer: int) -> None:
    """Mount what belongs to the namespaces, and say that all is well."""
    try:
        syscalls.die_with_parent()
        _keep_host_processes()
        _make_mounts()
    except OSError as error:
        os.write(writer, json.dumps(_refused(error)).encode() + b"\n")
        os._exit(1)
    os.write(writer, b"ok\n")
    os.close(writer)


def _end(number: int, _frame: object) -> NoReturn:
    os._exit(128 + number)


def _refused(error: OSError) -> tuple[str, int]:
    """The refused step and its errno."""
    return str(error.filename or "fork"), error.errno or 0


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Let an OSError name the step that was refused."""
    try:
        yield
    except OSError as error:
        error.filename = name
        raise


def _make_namespaces(*, user: bool) -> None:
    uid, gid = os.geteuid(), os.getegid()
    with step("unshare user, mount, pid, ipc" if user else "unshare mount, pid, ipc"):
        syscalls.unshare(_SPACES | (syscalls.CLONE_NEWUSER if user else 0))
    if not user:
        return
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with step(f"write /proc/self/{name}"), open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(text)


def _make_mounts() -> None:
    with step("make mounts private"):
        syscalls.make_private()
    syscalls.mount_proc()


def _keep_host_processes() -> None:
    global _host_processes  # noqa: PLW0603 - there is one /proc of the host
    _host_processes = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def host_number(network: int) -> int | None:
    """What the host calls the first process of a node, whose network namespace is an open file.

    None when there is no such process, or `enter_namespaces` was not called.
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


def try_in_child(*, user: bool, then: Callable[[], None] | None = None) -> tuple[str, int] | None:
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
                os._exit(_exit_code(inner))
            syscalls.die_with_parent()
            _make_mounts()
            if then:
                then()
        except OSError as error:
            os.write(writer, json.dumps(_refused(error)).encode())
        except BaseException as error:  # noqa: BLE001 - a child of fork must never return into its caller
            os.write(writer, json.dumps([f"{type(error).__name__}: {error}", errno.EIO]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        report = file.read()
    _exit_code(child)
    if not report:
        return None
    refused_step, number = json.loads(report)
    return str(refused_step), int(number)
