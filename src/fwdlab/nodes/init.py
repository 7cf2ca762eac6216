"""The first process of a node: collects orphans and does what the lab's process asks for inside the node.

It is in all of the node's namespaces, so a program that it starts, a file that it opens and a socket that it
makes belong to the node; nothing ever has to enter a namespace afterwards. One thread, standard library only.

Requests carry `id` and `op` (`spawn`, `open`, `socket`, `listen`, `kill`); the answer has the same `id` and
either `error` or what was asked for. `{"exit": PID, "code": N}` tells of a program's end.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import termios
from typing import TYPE_CHECKING, Any, NoReturn

from fwdlab.nodes import mounts, wire
from fwdlab.process import kernel

if TYPE_CHECKING:
    from collections.abc import Callable

_SYSCTLS = {
    "net/ipv4/ip_forward": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/ipv4/ping_group_range": "0 0",
}
_SO_MARK = 36


def run(end: socket.socket, settings: dict[str, Any]) -> NoReturn:
    """Become the node that `settings` describe and serve `end` until it closes.

    Args:
        end: where requests come from; the first message out is `{"ready": true}` or `{"error": ...}`.
        settings: `name`, `private_files` (whether to build a file system), `sysctls`, and what
            `mounts.build` takes.
    """
    try:
        _prepare(settings)
    except OSError as error:
        wire.send(end, {"error": str(error)})
        os._exit(1)
    wire.send(end, {"ready": True})
    _serve(end)
    os._exit(0)


def _prepare(settings: dict[str, Any]) -> None:
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC)
    kernel.make_private()
    socket.sethostname(settings["name"])
    if settings["private_files"]:
        mounts.build(settings)
    else:
        kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    os.chdir("/")
    for name, value in {**_SYSCTLS, **settings["sysctls"]}.items():
        with open(f"/proc/sys/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(value)


def _serve(end: socket.socket) -> None:
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([end.fileno(), wake], [], [])
        if wake in ready:
            _drain(wake)
            _reap(end)
        if end.fileno() in ready:
            received = wire.receive(end)
            if received is None:
                return
            _answer(end, *received)


def _drain(descriptor: int) -> None:
    try:
        os.read(descriptor, 4096)
    except BlockingIOError:
        return


def _reap(end: socket.socket) -> None:
    while True:
        try:
            child, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if child == 0:
            return
        wire.send(end, {"exit": child, "code": os.waitstatus_to_exitcode(status)})


def _answer(end: socket.socket, request: dict[str, Any], files: list[int]) -> None:
    out: list[int] = []
    try:
        answer = _OPERATIONS[request["op"]](request, files, out)
    except (OSError, ValueError, KeyError) as error:
        answer = {"error": str(error), "errno": getattr(error, "errno", 0) or 0}
    answer["id"] = request["id"]
    try:
        wire.send(end, answer, tuple(out))
    finally:
        for file in (*files, *out):
            os.close(file)


def _spawn(request: dict[str, Any], files: list[int], out: list[int]) -> dict[str, Any]:
    """Start a program; its files 0, 1, 2 … are those that came along, or a new terminal that goes back."""
    slave = -1
    if request.get("terminal"):
        master, slave = os.openpty()
        out.append(master)
        rows, columns = request["terminal"]
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        files = [slave, slave, slave]
    failure, report = os.pipe()
    child = os.fork()
    if child == 0:
        _become(request, files, report, controlling=slave)
    os.close(report)
    if slave >= 0:
        os.close(slave)
    reason = os.read(failure, 4096).decode()
    os.close(failure)
    return {"pid": child, "failed": reason}


def _become(request: dict[str, Any], files: list[int], report: int, *, controlling: int) -> NoReturn:
    """In the child: put everything in place and run the program."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        if controlling >= 0:
            fcntl.ioctl(controlling, termios.TIOCSCTTY, 0)
        # First above everything that a target number could overwrite, then down to their places.
        kept = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, 800)
        high = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 400) for file in files]
        for place, file in enumerate(high):
            os.dup2(file, place)
        os.closerange(len(high), 400)
        os.chdir(request.get("directory") or "/")
        os.umask(0o022)
        os.execvpe(request["argv"][0], request["argv"], request["environment"])  # noqa: S606
    except OSError as error:
        os.write(kept, f"{error.strerror}: {error.filename or request['argv'][0]}".encode())
    except BaseException as error:  # noqa: BLE001 - a child of fork must never return into its caller
        os.write(2, repr(error).encode())
    finally:
        os._exit(127)


def _open(request: dict[str, Any], _files: list[int], out: list[int]) -> dict[str, Any]:
    path = request["path"]
    if request["flags"] & os.O_CREAT:
        os.makedirs(os.path.dirname(path) or "/", exist_ok=True)  # noqa: PTH103, PTH120
    flags = request["flags"] | os.O_CLOEXEC
    try:
        out.append(os.open(path, flags, request["mode"]))
    except PermissionError:
        if not flags & os.O_CREAT:
            raise
        _take_over(path)
        out.append(os.open(path, flags, request["mode"]))
    return {}


def _take_over(path: str) -> None:
    """Replace a file of the host by a copy of the node's own: what has no owner here cannot be written."""
    with open(path, "rb") as file:  # noqa: PTH123
        content = file.read()
    with open(path + ".own", "wb") as file:  # noqa: PTH123
        file.write(content)
    os.replace(path + ".own", path)  # noqa: PTH105


def _socket(request: dict[str, Any], _files: list[int], out: list[int]) -> dict[str, Any]:
    made = socket.socket(socket.AF_INET, request["kind"])
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if request["mark"]:
            made.setsockopt(socket.SOL_SOCKET, _SO_MARK, request["mark"])
        made.bind((request["address"], request["port"]))
        if request["listen"]:
            made.listen(128)
    except OSError:
        made.close()
        raise
    out.append(made.detach())
    return {}


def _listen(request: dict[str, Any], _files: list[int], out: list[int]) -> dict[str, Any]:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(request["path"])
    made.listen(32)
    out.append(made.detach())
    return {}


def _kill(request: dict[str, Any], _files: list[int], _out: list[int]) -> dict[str, Any]:
    """Signal a program's whole session, or the one process."""
    try:
        if request["group"]:
            os.killpg(request["pid"], request["signal"])
        else:
            os.kill(request["pid"], request["signal"])
    except ProcessLookupError:
        return {"found": False}
    return {"found": True}


_OPERATIONS: dict[str, Callable[[dict[str, Any], list[int], list[int]], dict[str, Any]]] = {
    "spawn": _spawn,
    "open": _open,
    "socket": _socket,
    "listen": _listen,
    "kill": _kill,
}
