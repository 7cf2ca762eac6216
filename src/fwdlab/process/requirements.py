"""What the lab needs of this machine, tested by doing it."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass

from fwdlab.errors import LabError
from fwdlab.process import syscalls
from fwdlab.process.launch import choose_user_namespace, require_linux, step, try_in_child

_PROGRAMS = {
    "ip": "iproute2",
    "nft": "nftables",
    "iptables": "iptables",
    "iptables-restore": "iptables",
    "curl": "curl",
    "python3": "python3",
}
LEAST_FILES, WANTED_FILES = 1024, 8192
"""Descriptors: the first process of a node keeps some at 800."""
_PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
_CHAIN = "chain c { type nat hook prerouting priority dstnat; ct mark set 1 dnat to 192.0.2.1; }"


@dataclass(frozen=True)
class Requirement:
    """Something that the lab needs of this machine, e.g. `namespaces` or `nft`.

    Attributes:
        detail: what was found, or which step was refused with which error.
        suggestion: what to do when it is missing, empty otherwise.
    """

    name: str
    ok: bool
    detail: str
    suggestion: str = ""


def require() -> None:
    """Raise LabError `lab_requirement_missing` for the first one that is not met."""
    for requirement in check():
        if not requirement.ok:
            text = f"The lab cannot run here: {requirement.name}: {requirement.detail}"
            raise LabError("lab_requirement_missing", f"{text.rstrip('.')}.", requirement.suggestion)


def check() -> tuple[Requirement, ...]:
    """Test namespaces and kernel features in a child, and look for programs on PATH.

    Works in a fresh process, because a process with threads must not fork.

    Raises:
        LabError: `platform_not_supported`.
    """
    require_linux()
    done = subprocess.run(
        [sys.executable, "-m", __name__], capture_output=True, text=True, timeout=30, check=False, cwd="/"
    )
    if done.returncode:
        raise LabError("check_failed", f"The test of this machine failed: {done.stderr.strip()[-300:]}")
    return tuple(Requirement(**entry) for entry in json.loads(done.stdout))


def _check_here() -> list[Requirement]:
    programs = [_check_files(), *(_check_program(name, package) for name, package in _PROGRAMS.items())]
    try:
        user = choose_user_namespace()
    except LabError as refused:
        refusal = Requirement("namespaces", ok=False, detail=refused.message, suggestion=refused.suggestion)
        return [refusal, *programs]
    kind = "with a user namespace" if user else "as root, without a user namespace"
    found = [Requirement("namespaces", ok=True, detail=kind), *programs]
    if all(program.ok for program in programs):
        found += [_check_feature(name, user=user) for name in _FEATURES]
    return found


def raise_open_files() -> None:
    """Let this process, and the nodes that it makes, open as many files as a lab needs, so far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < WANTED_FILES:
        wanted = WANTED_FILES if hard < 0 else min(hard, WANTED_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _check_files() -> Requirement:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    enough = hard < 0 or hard >= LEAST_FILES
    hint = "" if enough else f"Run `ulimit -n {WANTED_FILES}`, or raise the limit of the container."
    return Requirement("open files", enough, f"at most {hard}", hint)


def _check_program(name: str, package: str) -> Requirement:
    found = shutil.which(name, path=_PATH)
    if found:
        return Requirement(name, ok=True, detail=found)
    return Requirement(name, ok=False, detail="not on PATH", suggestion=f"Install the package {package}.")


def _check_feature(name: str, *, user: bool) -> Requirement:
    feature, suggestion = _FEATURES[name]
    refused = try_in_child(user=user, then=feature)
    if refused is None:
        return Requirement(name, ok=True, detail="works")
    refused_step, number = refused
    detail = f"{refused_step}: {os.strerror(number)}"
    return Requirement(name, ok=False, detail=detail, suggestion=suggestion)


def _try_network() -> None:
    syscalls.unshare(syscalls.CLONE_NEWNET, "unshare net")
    for argv, text in (
        (["ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"], ""),
        (["nft", "-f", "-"], f"table ip t {{\n{_CHAIN}\n}}\n"),
    ):
        done = subprocess.run(
            argv, input=text, env={"PATH": _PATH}, capture_output=True, text=True, timeout=10, check=False
        )
        if done.returncode:
            raise OSError(errno.EOPNOTSUPP, "", f"{argv[0]}: {done.stderr.strip()[:200]}")


def _try_overlay() -> None:
    place = tempfile.gettempdir()  # covered in this process's own mount namespace only
    syscalls.mount("tmpfs", place, "tmpfs", 0, "mode=700")
    for name in ("upper", "work", "merged"):
        os.mkdir(f"{place}/{name}")  # noqa: PTH102 - pathlib is not worth its import here
    options = f"lowerdir=/etc,upperdir={place}/upper,workdir={place}/work"
    with step("mount overlay"):
        syscalls.mount("overlay", f"{place}/merged", "overlay", 0, options)
    syscalls.make_read_only()


_FEATURES = {
    "network": (
        _try_network,
        "Load the kernel modules veth, nf_tables and nf_nat (`modprobe`), or use another kernel.",
    ),
    "overlay": (_try_overlay, "Use Linux 5.12 or newer with overlayfs in user namespaces."),
}

if __name__ == "__main__":
    json.dump([asdict(requirement) for requirement in _check_here()], sys.stdout)
