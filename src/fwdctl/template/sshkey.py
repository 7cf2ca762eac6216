"""Find the administrator's SSH public key, check it as Azure does, and make its comment harmless."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)

from fwdctl.encoding import foreign_encoding, plain_text_advice
from fwdctl.errors import FwdctlError, UsageError
from fwdctl.output import printable

if TYPE_CHECKING:
    from fwdctl.runtime import Runtime

NAMES = ("id_ed25519.pub", "id_rsa.pub")
SHORTEST_RSA = 2048
LARGEST_FILE = 16_384
HEAD = 64
"""Bytes that tell a private key from a public one."""
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

    What the azd environment's `values` lack is taken from the process environment. A new key goes to
    `folder`, the environment's; a relative SSH_PUBLIC_KEY_FILE is relative to `base`.

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
        file = generate(folder)
        return SshKey(read(file), str(file))
    text = f"neither SSH_PUBLIC_KEY_FILE is set nor is there one of {', '.join(NAMES)} in {home / '.ssh'}"
    suggestion = "Run `ssh-keygen -t ed25519`, or `azd env set SSH_PUBLIC_KEY_FILE FILE`."
    raise UsageError("ssh_key_not_found", f"No SSH public key: {text}.", suggestion)


def read(file: Path, name: str = "") -> str:
    """The key in a file, named by a variable. Of a private key no more than its header is read.

    Raises:
        FwdctlError: no such file, a private key, or no usable public key (2).
    """
    shown = f"{file} ({name})" if name else str(file)
    try:
        if file.is_dir():  # Windows would say that permission is denied
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        with file.open("rb", buffering=0) as stream:
            head = stream.read(HEAD) or b""
            if b"PRIVATE KEY" in head.replace(b"\0", b"") or head.startswith(b"PuTTY-User-Key-File"):
                raise _private(shown, file.name)
            content = head + (stream.read(LARGEST_FILE) or b"")
    except FileNotFoundError as error:
        text = f"The SSH public key file {shown} does not exist."
        suggestion = (
            "Correct it with `azd env set SSH_PUBLIC_KEY_FILE FILE`, or make a key with `ssh-keygen`."
        )
        raise UsageError("ssh_key_not_found", text, suggestion) from error
    except OSError as error:
        text = f"The SSH public key file {shown} cannot be read: {error.strerror}."
        raise UsageError("ssh_key_unreadable", text, "Make it readable, or name another.") from error
    if encoding := foreign_encoding(content):
        text = f"The SSH public key file {shown} is in {encoding}."
        raise UsageError("ssh_key_encoding", text, plain_text_advice(file))
    return _check(content.decode("utf-8", "replace"), shown)


def _check(content: str, shown: str) -> str:
    """One public key, checked and with a harmless comment."""
    if "PRIVATE KEY" in content[:HEAD]:
        raise _private(shown, "KEY")
    if content.startswith(("---- BEGIN SSH2 PUBLIC KEY", "-----BEGIN")):
        text = f"{shown} is a public key, but not in OpenSSH's one-line form."
        raise UsageError(
            "ssh_key_malformed", text, "Convert it with `ssh-keygen -i -f FILE` (PEM: add `-m PKCS8`)."
        )
    lines = [line.strip() for line in content.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) != 1:
        text = f"{shown} holds {len(lines)} lines; one public key is needed."
        raise UsageError("ssh_key_malformed", text, "Name another file.")
    kind, _, rest = lines[0].partition(" ")
    encoded, _, comment = rest.strip().partition(" ")
    _check_type(kind, shown)
    _check_key(kind, encoded, shown)
    safe = re.sub(r"[^A-Za-z0-9@._-]+", "-", comment.strip()).strip("-")
    return " ".join(part for part in (kind, encoded, safe) if part)


def _check_type(kind: str, shown: str) -> None:
    if kind in TYPES:
        return
    if re.fullmatch(r"(sk-)?(ecdsa|ssh)-[a-z0-9@.-]+", kind):
        text = f"{shown} is a key of type {kind}; Azure takes {' and '.join(TYPES)} only."
        suggestion = "Make one with `ssh-keygen -t ed25519` and name it in SSH_PUBLIC_KEY_FILE."
        raise UsageError("ssh_key_unsupported", text, suggestion)
    text = f"{shown} does not start with a key type such as ssh-ed25519."
    raise UsageError("ssh_key_malformed", text, "Name a public key in OpenSSH's form: TYPE BASE64 COMMENT.")


def _check_key(kind: str, encoded: str, shown: str) -> None:
    """The base64 holds a key of the type that the line announces, of a size that Azure takes."""
    line = f"{kind} {encoded}"
    try:
        key = load_ssh_public_key(line.encode())
        # Written anew and compared, because the loader skips characters that are no base64.
        whole = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() == line
    except ValueError:
        whole = False
    if not whole:
        text = f"{shown} is damaged: its base64 is not a key of type {kind}."
        raise UsageError("ssh_key_malformed", text, "Copy the public key again, as one line.")
    if isinstance(key, RSAPublicKey) and key.key_size < SHORTEST_RSA:
        text = f"{shown} is an RSA key of {key.key_size} bits; Azure takes {SHORTEST_RSA} or more."
        raise UsageError("ssh_key_unsupported", text, "Make one with `ssh-keygen -t ed25519`.")


def _agrees(runtime: Runtime, folder: Path) -> bool:
    question = f"There is no SSH public key. Make one in {folder}? [Y/n] "
    runtime.stderr.write(printable(question, runtime.stderr))
    runtime.stderr.flush()
    answer = runtime.stdin.readline()
    return answer != "" and answer.strip().lower() in {"", "y", "yes"}


def generate(folder: Path) -> Path:
    """Make an Ed25519 key without passphrase in the environment's folder, which azd keeps out of git.

    Raises:
        FwdctlError: a file cannot be written, or there is a private key already (1).
    """
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    file = folder / "id_ed25519"
    try:
        with open(file, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
            stream.write(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        file.with_suffix(".pub").write_bytes(public + f" fwdctl-{folder.name}\n".encode())
    except OSError as error:
        text = f"No SSH key was made: {error.filename}: {error.strerror}."
        suggestion = "Name a public key in SSH_PUBLIC_KEY_FILE."
        raise FwdctlError("ssh_key_not_written", text, suggestion) from error
    return file.with_suffix(".pub")


def _private(shown: str, name: str) -> FwdctlError:
    text = f"{shown} is a private key; nothing of it was used."
    return UsageError("ssh_key_private", text, f"Name the public key, usually {name}.pub.")
