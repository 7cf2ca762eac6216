"""The file system of a node: the host's, read-only, with private writable directories over it.

Nothing that a node writes reaches the host or another node. Runs in the node's first process, in a mount
namespace of its own. Standard library only.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from fwdlab.process import syscalls

_SAFE = syscalls.MS_NOSUID | syscalls.MS_NODEV
OVERLAYS = ("/etc", "/opt", "/var", "/usr/local")
"""Writable, and showing what the host has."""
OWNED_DEPTH = 2
"""How deep below an overlay directories belong to the node, `/etc/systemd/system` among them."""
EMPTY = {"/run": "755", "/tmp": "1777", "/root": "700", "/home": "755", "/srv": "755", "/mnt": "755"}  # noqa: S108
"""Writable and empty; the user's own files stay out of sight."""


def build(settings: dict[str, Any]) -> None:
    """Mount the node's file system.

    `scratch` is an empty directory to build on, `files` maps paths to first contents, `programs` paths to
    scripts; `keep` are directories that must stay visible although they lie in an emptied one (the Python
    installation). An OSError names the mount that the kernel refused.
    """
    scratch = settings["scratch"]
    syscalls.make_read_only()
    _mount_proc_sys_dev()
    syscalls.mount("tmpfs", scratch, "tmpfs", _SAFE, "mode=755,size=256m")
    there = [path for path in settings["keep"] if os.path.isdir(path)]  # noqa: PTH112
    kept = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in there]
    files = {**dict.fromkeys(settings["programs"], ""), **settings["files"]}
    overlays = [path for path in (*OVERLAYS, *_missing_python(settings)) if os.path.isdir(path)]  # noqa: PTH112
    for path in overlays:
        _overlay(scratch, path, {name: text for name, text in files.items() if name.startswith(path + "/")})
    for path, mode in EMPTY.items():
        if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114
            syscalls.mount("tmpfs", path, "tmpfs", _SAFE, f"mode={mode},size=256m")
    syscalls.mount("tmpfs", "/var/log", "tmpfs", _SAFE, "mode=755,size=64m")
    _show_again(kept)
    for path, text in settings["programs"].items():
        write(path, text, 0o755)
    for path in ("/run/lock", "/run/fwdlab"):
        os.makedirs(path, exist_ok=True)  # noqa: PTH103


def _mount_proc_sys_dev() -> None:
    syscalls.mount_proc()
    syscalls.mount("sysfs", "/sys", "sysfs", _SAFE | syscalls.MS_NOEXEC | syscalls.MS_RDONLY)
    if not os.path.isdir("/dev/pts"):  # noqa: PTH112
        return
    # No gid=5: that group has no number in a user namespace.
    syscalls.mount("devpts", "/dev/pts", "devpts", syscalls.MS_NOSUID, "newinstance,ptmxmode=0666,mode=620")
    syscalls.mount("/dev/pts/ptmx", "/dev/ptmx", None, syscalls.MS_BIND)
    if os.path.isdir("/dev/shm"):  # noqa: PTH112, S108
        syscalls.mount("tmpfs", "/dev/shm", "tmpfs", _SAFE, "mode=1777,size=64m")  # noqa: S108


def _missing_python(settings: dict[str, Any]) -> tuple[str, ...]:
    """Units name /usr/bin/python3, as images of Azure have it; a host may have its Python elsewhere."""
    if os.path.exists("/usr/bin/python3"):  # noqa: PTH110
        return ()
    settings["programs"]["/usr/bin/python3"] = f'#!/bin/sh\nexec "{os.path.realpath(sys.executable)}" "$@"\n'
    return ("/usr/bin",)


def _overlay(scratch: str, path: str, files: dict[str, str]) -> None:
    base = f"{scratch}/{path.strip('/').replace('/', '-')}"
    upper, work = base + ".upper", base + ".work"
    os.makedirs(work)  # noqa: PTH103
    os.makedirs(upper)  # noqa: PTH103
    _own_directories(path, upper, OWNED_DEPTH)
    # Into the upper layer before the mount, where a symbolic link of the host cannot lead elsewhere.
    for name, text in files.items():
        write(upper + name[len(path) :], text, 0o755 if name.endswith("/systemctl") else 0o644)
    syscalls.mount("overlay", path, "overlay", _SAFE, f"lowerdir={path},upperdir={upper},workdir={work}")


def _own_directories(lower: str, upper: str, depth: int) -> None:
    """Put the host's directories into the upper layer too, so that the node's root may write in them.

    In the user namespace of an ordinary user the host's root has no number, and not even the node's root may
    write what belongs to nobody.
    """
    if not os.access(lower, os.R_OK | os.X_OK):
        return
    for entry in os.scandir(lower):
        if entry.is_dir(follow_symlinks=False) and os.access(entry.path, os.R_OK | os.X_OK):
            there = f"{upper}/{entry.name}"
            os.mkdir(there, entry.stat(follow_symlinks=False).st_mode & 0o1777)  # noqa: PTH102
            if depth > 1:
                _own_directories(entry.path, there, depth - 1)


def _show_again(kept: list[tuple[str, int]]) -> None:
    for path, descriptor in kept:
        if not os.path.isdir(path):  # noqa: PTH112
            os.makedirs(path)  # noqa: PTH103
            syscalls.mount(f"/proc/self/fd/{descriptor}", path, None, syscalls.MS_BIND)
        os.close(descriptor)


def write(path: str, text: str, mode: int) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)
    os.chmod(path, mode)  # noqa: PTH101
