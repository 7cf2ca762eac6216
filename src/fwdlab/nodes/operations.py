"""What the lab's process asks for inside a node: to build it, to start programs, open files and make sockets.

Each runs in a process that is in the node's namespaces. None may block, whatever the node's root has done to
its files. Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import termios
from typing import TYPE_CHECKING, Any, NoReturn

from fwdlab.nodes import interpreter, mounts
from fwdlab.process import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable

SPACES = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWIPC
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
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def build(settings: dict[str, Any]) -> None:
    """Make the node from `name`, `private_files` (whether to build a file system), `sysctls`, and mounts'.

    Called in its first process, which has a pid namespace of its own.
    """
    syscalls.unshare(SPACES)
    syscalls.make_private()
    socket.sethostname(settings["name"])
    if settings["private_files"]:
        mounts.build(settings)
    else:
        syscalls.mount_proc()
    os.chdir("/")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
    for name, value in {**_SYSCTLS, **settings["sysctls"]}.items():
        with open(f"/proc/sys/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(value)


def stay() -> NoReturn:
    """Become the node's first process for good; the kernel collects the orphans of one that ignores them."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.execve("/bin/sleep", ["sleep", "infinity"], {})  # noqa: S606


def _spawn(request: dict[str, Any], files: list[int], out: list[int]) -> dict[str, Any]:
    """Start a program.

    Its files 0, 1, 2 … are those that came along; with `terminal` (rows and columns) a new one, whose master
    side goes back; with `log` nothing to read, and that file of the node for its output. The answer has its
    number as seen from here, and as the node itself sees it.
    """
    given, terminal = list(files), -1
    if request.get("terminal"):
        master, terminal = os.openpty()
        out.append(master)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *request["terminal"], 0, 0))
        given = [terminal] * 3
        files.append(terminal)
    elif request.get("log"):
        files.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        files.append(_open_file(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644))
        given = [files[0], files[1], files[1]]
    failure, report = os.pipe()
    child = os.fork()
    if child == 0:
        _become(request, given, report, controlling=terminal)
    os.close(report)
    with os.fdopen(failure, encoding="utf-8") as said:
        inside, _, reason = said.read().partition("\n")
    return {"pid": child, "inside": int(inside), "failed": reason}


def _become(request: dict[str, Any], files: list[int], report: int, *, controlling: int) -> NoReturn:
    """In the child: put everything in place and run the program."""
    try:
        signal.set_wakeup_fd(-1)
        os.write(report, f"{os.getpid()}\n".encode())
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
        os.chdir(request["directory"])
        os.umask(0o022)
        if interpreter.may_run(request["argv"], request["environment"]):
            os.close(kept)  # whoever asked need not wait while it is compiled
            interpreter.run(request["argv"], request["environment"])
        os.execvpe(request["argv"][0], request["argv"], request["environment"])  # noqa: S606
    except OSError as error:
        os.write(kept, f"{error.strerror}: {error.filename or request['argv'][0]}".encode())
    except BaseException as error:  # noqa: BLE001 - a child of fork must never return into its caller
        os.write(2, repr(error).encode())
    finally:
        os._exit(127)


def _open(request: dict[str, Any], _files: list[int], out: list[int]) -> dict[str, Any]:
    out.append(_open_file(request["path"], request["flags"], request["mode"]))
    return {}


def _open_file(path: str, flags: int, mode: int) -> int:
    if flags & os.O_CREAT:
        os.makedirs(os.path.dirname(path) or "/", exist_ok=True)  # noqa: PTH103, PTH120
    flags |= os.O_CLOEXEC | os.O_NONBLOCK  # it may be a pipe that nobody reads
    try:
        opened = os.open(path, flags, mode)
    except PermissionError:
        if not flags & os.O_CREAT or not os.path.isfile(path):  # noqa: PTH113
            raise
        _take_over(path)
        opened = os.open(path, flags, mode)
    os.set_blocking(opened, True)
    return opened


def _take_over(path: str) -> None:
    """Replace a file of the host by a copy of the node's own: what has no owner here cannot be written."""
    with open(path, "rb") as file:  # noqa: PTH123
        content = file.read()
    with open(path + ".own", "wb") as file:  # noqa: PTH123
        file.write(content)
    os.replace(path + ".own", path)  # noqa: PTH105


def _socket(request: dict[str, Any], _files: list[int], out: list[int]) -> dict[str, Any]:
    """Bind a socket: to `path` in the file system, or to `address` and `port` with the packet mark `mark`."""
    local = "path" in request
    made = socket.socket(socket.AF_UNIX if local else socket.AF_INET, request["kind"])
    try:
        if local:
            made.bind(request["path"])
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.SOL_SOCKET, _SO_MARK, request["mark"])
            made.bind((request["address"], request["port"]))
        if request["listen"]:
            made.listen(128)
    except OSError:
        made.close()
        raise
    out.append(made.detach())
    return {}


OPERATIONS: dict[str, Callable[[dict[str, Any], list[int], list[int]], dict[str, Any]]] = {
    "spawn": _spawn,
    "open": _open,
    "socket": _socket,
}
