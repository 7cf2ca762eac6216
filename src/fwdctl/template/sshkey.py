"""Find the administrator's SSH public key, check it as Azure does, and make its comment harmless."""

from __future__ import annotations

import base64
import binascii
import errno
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fwdctl.errors import ExitCode, FwdctlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwdctl.runtime import Runtime

NAMES = ("id_ed25519.pub", "id_rsa.pub")
SHORTEST_RSA = 2048
LARGEST_FILE = 16_384
KEYGEN_TIMEOUT = 30.0
HEAD = 64
ED25519_KEY = 32
# Microsoft Learn, virtual machines, linux/mac-create-ssh-keys: RSA from 2048 bits and Ed25519, no others.
TYPES = ("ssh-ed25519", "ssh-rsa")


@dataclass(frozen=True)
class SshKey:
    """A public key.

    Attributes:
        line: `TYPE BASE64 COMMENT`, safe inside JSON and a shell.
        source: where it came from, for people.
    """

    line: str
    source: str


def resolve(runtime: Runtime, values: Mapping[str, str], folder: Path, base: Path) -> SshKey:
    """The key to use: SSH_PUBLIC_KEY_FILE, the one set before, ~/.ssh, the environment's folder, a new one.

    A key that is set already stays: Azure refuses to change the key of machines that exist.

    Args:
        runtime: decides whether a question may be asked.
        values: the azd environment; what it lacks is taken from the process environment.
        folder: the environment's folder, where a new key goes.
        base: what a relative SSH_PUBLIC_KEY_FILE is relative to.

    Raises:
        FwdctlError: the named file is missing, is a private key or malformed; or there is no key at all (2).
    """
    place = "the azd environment" if values.get("SSH_PUBLIC_KEY") else "the process environment"
    values = {**runtime.environ, **values}
    home = Path(values.get("HOME") or values.get("USERPROFILE") or Path.home())
    if named := values.get("SSH_PUBLIC_KEY_FILE"):
        file = home / named[2:] if named.startswith(("~/", "~\\")) else base / named
        return SshKey(read(file, "SSH_PUBLIC_KEY_FILE"), str(file))
    if current := values.get("SSH_PUBLIC_KEY"):
        return SshKey(_check(current, f"SSH_PUBLIC_KEY of {place}"), place)
    for file in [*(home / ".ssh" / name for name in NAMES), folder / NAMES[0]]:
        if file.is_file():
            return SshKey(read(file), str(file))
    if runtime.may_prompt and _agrees(runtime, folder):
        file = generate(runtime, folder)
        return SshKey(read(file), str(file))
    raise _error(
        "ssh_key_not_found",
        f"No SSH public key: neither SSH_PUBLIC_KEY_FILE is set nor is there one of {', '.join(NAMES)} in "
        f"{home / '.ssh'}.",
        "Run `ssh-keygen -t ed25519`, or `azd env set SSH_PUBLIC_KEY_FILE FILE`.",
    )


def read(file: Path, name: str = "") -> str:
    """The key in a file. Of a private key no more than its header is read.

    Args:
        file: the file.
        name: the variable that named it, for the message.

    Raises:
        FwdctlError: no such file, a private key, or no usable public key (2).
    """
    shown = f"{file} ({name})" if name else str(file)
    try:
        if file.is_dir():  # Windows would say that permission is denied
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        with file.open("rb", buffering=0) as stream:
            head = stream.read(HEAD) or b""
            if b"PRIVATE KEY" in head or head.startswith(b"PuTTY-User-Key-File"):
                raise _private(shown, file)
            content = head + (stream.read(LARGEST_FILE) or b"")
    except FileNotFoundError as error:
        raise _error(
            "ssh_key_not_found",
            f"The SSH public key file {shown} does not exist.",
            "Correct it with `azd env set SSH_PUBLIC_KEY_FILE FILE`, or make a key with `ssh-keygen`.",
        ) from error
    except OSError as error:
        raise _error(
            "ssh_key_unreadable",
            f"The SSH public key file {shown} cannot be read: {error.strerror}.",
            "Make it readable, or name another.",
        ) from error
    return _check(content.decode("utf-8", "replace"), shown)


def _private(shown: str, file: Path) -> FwdctlError:
    return _error(
        "ssh_key_private",
        f"{shown} is a private key; nothing of it was used.",
        f"Name the public key, usually {file.name}.pub.",
    )


def _check(content: str, shown: str) -> str:
    """One public key, checked and with a harmless comment."""
    if "PRIVATE KEY" in content[:HEAD]:
        raise _private(shown, Path("KEY"))
    if content.startswith(("---- BEGIN SSH2 PUBLIC KEY", "-----BEGIN")):
        raise _error(
            "ssh_key_malformed",
            f"{shown} is a public key, but not in OpenSSH's one-line form.",
            "Convert it with `ssh-keygen -i -f FILE` (PEM: add `-m PKCS8`).",
        )
    lines = [line.strip() for line in content.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) != 1:
        raise _error(
            "ssh_key_malformed",
            f"{shown} holds {len(lines)} lines; one public key is needed.",
            "Name another file.",
        )
    kind, _, rest = lines[0].partition(" ")
    encoded, _, comment = rest.strip().partition(" ")
    _check_type(kind, shown)
    _check_blob(kind, encoded, shown)
    safe = re.sub(r"[^A-Za-z0-9@._-]+", "-", comment.strip()).strip("-")
    return " ".join(part for part in (kind, encoded, safe) if part)


def _check_type(kind: str, shown: str) -> None:
    if kind in TYPES:
        return
    if re.fullmatch(r"(sk-)?(ecdsa|ssh)-[a-z0-9@.-]+", kind):
        raise _error(
            "ssh_key_unsupported",
            f"{shown} is a key of type {kind}; Azure takes ssh-ed25519 and ssh-rsa only.",
            "Make one with `ssh-keygen -t ed25519` and name it in SSH_PUBLIC_KEY_FILE.",
        )
    raise _error(
        "ssh_key_malformed",
        f"{shown} does not start with a key type such as ssh-ed25519.",
        "Name a public key in OpenSSH's form: TYPE BASE64 COMMENT.",
    )


def _check_blob(kind: str, encoded: str, shown: str) -> None:
    """The base64 holds the type and key that the line announces (RFC 4253, section 6.6; RFC 8709)."""
    try:
        fields = _fields(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        fields = []
    whole = {"ssh-ed25519": 2, "ssh-rsa": 3}[kind]
    if len(fields) != whole or fields[0] != kind.encode():
        broken = True
    else:
        broken = kind == "ssh-ed25519" and len(fields[1]) != ED25519_KEY
    if broken:
        raise _error(
            "ssh_key_malformed",
            f"{shown} is damaged: its base64 is not a key of type {kind}.",
            "Copy the public key again, as one line.",
        )
    if kind == "ssh-rsa" and (bits := int.from_bytes(fields[2], "big").bit_length()) < SHORTEST_RSA:
        raise _error(
            "ssh_key_unsupported",
            f"{shown} is an RSA key of {bits} bits; Azure takes {SHORTEST_RSA} or more.",
            "Make one with `ssh-keygen -t ed25519`.",
        )


def _fields(blob: bytes) -> list[bytes]:
    """Split length-prefixed fields; ValueError where a length does not fit."""
    fields = []
    while blob:
        size = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + size:
            raise ValueError
        fields.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return fields


def _agrees(runtime: Runtime, folder: Path) -> bool:
    runtime.stderr.write(f"There is no SSH public key. Make one in {folder}? [Y/n] ")
    runtime.stderr.flush()
    answer = runtime.stdin.readline()
    return answer != "" and answer.strip().lower() in {"", "y", "yes"}


def generate(runtime: Runtime, folder: Path) -> Path:
    """Make an Ed25519 key without passphrase in the environment's folder, which azd keeps out of git.

    Returns:
        The public key's file.

    Raises:
        FwdctlError: ssh-keygen is missing (3) or fails (1).
    """
    keygen = shutil.which("ssh-keygen", path=runtime.environ.get("PATH"))
    if keygen is None:
        raise FwdctlError(
            "ssh_keygen_not_found",
            "ssh-keygen is not on PATH.",
            "Install OpenSSH, or name a public key in SSH_PUBLIC_KEY_FILE.",
            exit_code=ExitCode.NOT_FOUND,
        )
    file = folder / "id_ed25519"
    command = [keygen, "-q", "-t", "ed25519", "-N", "", "-C", f"fwdctl-{folder.name}", "-f", str(file)]
    try:
        subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=KEYGEN_TIMEOUT, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or b"").decode("utf-8", "replace")
        raise FwdctlError(
            "ssh_keygen_failed",
            f"ssh-keygen failed: {' '.join(said.split()) or error}",
            "Name a public key in SSH_PUBLIC_KEY_FILE.",
        ) from error
    return file.with_name("id_ed25519.pub")


def _error(code: str, message: str, suggestion: str) -> FwdctlError:
    return FwdctlError(code, message, suggestion, exit_code=ExitCode.USAGE)
