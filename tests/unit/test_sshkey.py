from __future__ import annotations

import base64
import io
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import ClassVar

import pytest

from fwdctl.errors import FwdctlError
from fwdctl.template import sshkey
from support.frame import ED25519, make_runtime


def blob(*fields: bytes) -> str:
    joined = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return base64.b64encode(joined).decode()


def rsa(bits: int) -> str:
    modulus = b"\x00" + (1 << (bits - 1)).to_bytes(bits // 8, "big")
    return "ssh-rsa " + blob(b"ssh-rsa", b"\x01\x00\x01", modulus)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    (tmp_path / "dev").mkdir()
    return tmp_path / "home"


def resolve(home: Path, environ: dict[str, str] | None = None, **rest: object) -> sshkey.SshKey:
    values = {"HOME": str(home), "PATH": os.environ["PATH"], **(environ or {})}
    runtime = make_runtime(home.parent, values, **rest)  # type: ignore[arg-type]
    return sshkey.resolve(runtime, values, home.parent / "dev", home.parent)


def refused(home: Path, environ: dict[str, str] | None = None, **rest: object) -> FwdctlError:
    with pytest.raises(FwdctlError) as caught:
        resolve(home, environ, **rest)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message
    assert caught.value.suggestion
    return caught.value


def named(home: Path, content: str | bytes) -> FwdctlError:
    file = home / "key.pub"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    error = refused(home, {"SSH_PUBLIC_KEY_FILE": str(file)})
    assert f"{file} (SSH_PUBLIC_KEY_FILE)" in error.message
    return error


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-16", "in UTF-16."),
        ("utf-16-le", "in UTF-16 without a byte order mark."),
        ("utf-16-be", "in UTF-16 without a byte order mark."),
        ("utf-32", "in UTF-32."),
        ("utf-8-sig", "in UTF-8 with a byte order mark."),
    ],
)
def test_an_encoding_of_powershell_is_named_with_the_command_that_mends_it(
    home: Path, encoding: str, words: str
) -> None:
    error = named(home, f"{ED25519} me@here\r\n".encode(encoding))
    assert error.code == "ssh_key_encoding"
    assert error.message.endswith(words)
    file = home / "key.pub"
    command = f"[IO.File]::WriteAllText('{file}', (Get-Content -Raw '{file}'))"
    assert error.suggestion == (f"Save it as UTF-8 without a byte order mark; in PowerShell: `{command}`.")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
def test_a_private_key_is_one_in_every_encoding(home: Path, encoding: str) -> None:
    error = named(home, "-----BEGIN OPENSSH PRIVATE KEY-----\r\nb3Bl".encode(encoding))
    assert error.code == "ssh_key_private"
    assert "b3Bl" not in error.message


def test_order(home: Path) -> None:
    ssh = home / ".ssh"
    (home.parent / "dev" / "id_ed25519.pub").write_text(f"{ED25519} environment\n")
    assert resolve(home).line == f"{ED25519} environment"
    (ssh / "id_rsa.pub").write_text(f"{rsa(2048)} rsa\n")
    assert resolve(home).line == f"{rsa(2048)} rsa"
    (ssh / "id_ed25519.pub").write_text(f"{ED25519} home\n")
    assert resolve(home).line == f"{ED25519} home"
    assert resolve(home, {"SSH_PUBLIC_KEY": f"{ED25519} before"}).line == f"{ED25519} before"
    (home / "own.pub").write_text(f"{ED25519} named\n")
    chosen = resolve(home, {"SSH_PUBLIC_KEY": f"{ED25519} before", "SSH_PUBLIC_KEY_FILE": "~/own.pub"})
    assert chosen.line == f"{ED25519} named"


def test_a_relative_file_is_relative_to_the_project(home: Path) -> None:
    (home.parent / "k.pub").write_text(ED25519)
    assert resolve(home, {"SSH_PUBLIC_KEY_FILE": "k.pub"}).line == ED25519


@pytest.mark.parametrize(
    ("comment", "safe"),
    [
        ('DOMAIN\\user "quoted" name', "DOMAIN-user-quoted-name"),
        ("me@host.example", "me@host.example"),
        ("$(rm) `x` 'é'", "rm-x"),
        ("", ""),
    ],
)
def test_the_comment_is_made_harmless(home: Path, comment: str, safe: str) -> None:
    (home / ".ssh" / "id_ed25519.pub").write_text(f"{ED25519} {comment}\r\n", encoding="utf-8")
    assert resolve(home).line == f"{ED25519} {safe}".strip()


def test_a_line_that_was_made_harmless_stays_as_it_is(home: Path) -> None:
    line = resolve(home, {"SSH_PUBLIC_KEY": f"{ED25519} a\\b c"}).line
    assert resolve(home, {"SSH_PUBLIC_KEY": line}).line == line


@pytest.mark.parametrize(
    "header",
    ["-----BEGIN OPENSSH PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----", "PuTTY-User-Key-File-3: x"],
)
def test_a_private_key_is_not_used_and_not_repeated(home: Path, header: str) -> None:
    error = named(home, f"{header}\nsecret-material\n")
    assert error.code == "ssh_key_private"
    assert "secret-material" not in error.message + error.suggestion


class Recorder(io.BytesIO):
    """Bytes that remember how many were asked for."""

    asked: ClassVar[list[int | None]] = []

    def read(self, size: int | None = -1, /) -> bytes:
        self.asked.append(size)
        return super().read(size)


def test_of_a_private_key_only_the_header_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + b"s" * 5000
    monkeypatch.setattr(Path, "open", lambda *_, **__: Recorder(content))
    with pytest.raises(FwdctlError, match="private key"):
        sshkey.read(home / "id_ed25519")
    assert Recorder.asked == [64]


def test_a_private_key_in_the_variable_is_not_repeated(home: Path) -> None:
    error = refused(home, {"SSH_PUBLIC_KEY": "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret"})
    assert error.code == "ssh_key_private"
    assert "secret" not in error.message


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ("", "ssh_key_malformed", "holds 0 lines"),
        (f"{ED25519} a\n{ED25519} b\n", "ssh_key_malformed", "holds 2 lines"),
        ("hello world\n", "ssh_key_malformed", "does not start with a key type"),
        (b"\x00\xff\x00", "ssh_key_malformed", "does not start with a key type"),
        ("ssh-ed25519 AAAA!!! x", "ssh_key_malformed", "is damaged"),
        (ED25519[:-8], "ssh_key_malformed", "is damaged"),
        (f"{ED25519}AAAA", "ssh_key_malformed", "is damaged"),
        (f"{ED25519[:40]}!*{ED25519[40:]}", "ssh_key_malformed", "is damaged"),
        (f"ssh-rsa {blob(b'ssh-rsa', b'', b'')}", "ssh_key_malformed", "is damaged"),
        (f"ssh-ed25519-cert-v01@openssh.com {ED25519[12:]}", "ssh_key_unsupported", "ssh-rsa only"),
        (f"ssh-rsa {ED25519.split()[1]}", "ssh_key_malformed", "is damaged"),
        ("ssh-ed25519", "ssh_key_malformed", "is damaged"),
        (rsa(1024), "ssh_key_unsupported", "RSA key of 1024 bits"),
        ("ecdsa-sha2-nistp256 AAAA x", "ssh_key_unsupported", "ssh-ed25519 and ssh-rsa only"),
        ("sk-ssh-ed25519@openssh.com AAAA x", "ssh_key_unsupported", "ssh-ed25519 and ssh-rsa only"),
        ("---- BEGIN SSH2 PUBLIC KEY ----\nx", "ssh_key_malformed", "not in OpenSSH's one-line form"),
        ("-----BEGIN PUBLIC KEY-----\nx", "ssh_key_malformed", "not in OpenSSH's one-line form"),
    ],
)
def test_what_azure_would_not_take(home: Path, content: str | bytes, code: str, message: str) -> None:
    error = named(home, content)
    assert error.code == code
    assert message in error.message


def test_a_named_file_that_is_missing(home: Path) -> None:
    file = home / "no" / "such.pub"
    error = refused(home, {"SSH_PUBLIC_KEY_FILE": str(file)})
    assert error.message == f"The SSH public key file {file} (SSH_PUBLIC_KEY_FILE) does not exist."


def test_a_named_folder(home: Path) -> None:
    assert "cannot be read: it is a folder." in refused(home, {"SSH_PUBLIC_KEY_FILE": str(home)}).message


@pytest.mark.parametrize("environ", [{}, {"CI": "1"}])
def test_no_key_and_nobody_to_ask(home: Path, environ: dict[str, str]) -> None:
    error = refused(home, environ, terminal=bool(environ), answer="y\n")
    assert error.code == "ssh_key_not_found"
    assert "ssh-keygen -t ed25519" in error.suggestion
    assert os.listdir(home.parent / "dev") == []  # noqa: PTH208


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_an_offer_that_is_turned_down(home: Path, answer: str) -> None:
    assert refused(home, terminal=True, answer=answer).code == "ssh_key_not_found"
    assert os.listdir(home.parent / "dev") == []  # noqa: PTH208


@pytest.mark.parametrize("answer", ["\n", "y\n", "Yes\n"])
def test_an_offer_that_is_taken(home: Path, answer: str) -> None:
    key = resolve(home, terminal=True, answer=answer)
    private = home.parent / "dev" / "id_ed25519"
    assert key.line.startswith("ssh-ed25519 ")
    assert key.line.endswith(" fwdctl-dev")
    assert key.source == f"{private}.pub"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_openssh_reads_a_key_that_was_made(home: Path) -> None:
    line = resolve(home, terminal=True, answer="y\n").line
    private = home.parent / "dev" / "id_ed25519"
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(private)], capture_output=True, text=True, check=True, timeout=30
    )
    assert derived.stdout.split()[:2] == line.split()[:2]


def test_a_private_key_that_is_there_is_not_overwritten(home: Path) -> None:
    private = home.parent / "dev" / "id_ed25519"
    private.write_text("precious")
    with pytest.raises(FwdctlError) as caught:
        resolve(home, terminal=True, answer="y\n")
    assert (caught.value.code, caught.value.exit_code) == ("ssh_key_not_written", 1)
    assert f"{private}: File exists." in caught.value.message
    assert private.read_text() == "precious"
