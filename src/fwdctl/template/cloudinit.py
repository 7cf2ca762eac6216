"""Render both cloud-inits from their templates and programs; refuse what a machine would not run.

A cloud-init carries programs only. What they are configured with is the machine's user data, which the Bicep
template makes and which may change while a machine runs.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import re
import struct
import tokenize
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwdctl.errors import FwdctlError, UsageError
from fwdctl.template.parameters.file import read_text

if TYPE_CHECKING:
    from pathlib import Path

    from fwdctl.template.files import Template

LARGEST = 65_535
"""Bytes of customData before base64 (Microsoft Learn, virtual machines, custom-data)."""

FIRST_LINE = "#cloud-config"
HASH_LINE = "# fwdctl-config-hash: "
_MARKER = re.compile(r"^( *)@@([A-Z0-9_]+)@@$|@@([A-Z0-9_]+)@@", re.MULTILINE)
_HASH = "CONFIG_HASH"


@dataclass(frozen=True)
class CloudInit:
    """One rendered cloud-init.

    Attributes:
        text: what the machine reads.
        config_hash: 16 hex digits that change with the template or a program.
        data: what Azure hands to the machine: the text, or its gzip, which cloud-init unpacks by itself.
    """

    text: str
    config_hash: str
    data: bytes

    @property
    def encoded(self) -> str:
        """Base64, as ARM's customData wants it."""
        return base64.b64encode(self.data).decode("ascii")


@dataclass(frozen=True)
class Rendered:
    forwarder: CloudInit
    onprem: CloudInit

    def environment(self) -> dict[str, str]:
        """The values of the azd environment that carry them to the template."""
        return {"CLOUD_INIT_FWD": self.forwarder.encoded, "CLOUD_INIT_ONPREM": self.onprem.encoded}


def render(template: Template) -> Rendered:
    """Render both cloud-inits.

    The server's is not compressed: Azure refuses a machine whose customData has changed, and another version
    of zlib compresses the same text to other bytes.

    Raises:
        FwdctlError: a file is missing (3); or it has carriage returns, does not start with `#cloud-config`,
            is not YAML, has no place for a program, or the result is too large (2).
    """
    folder = template.cloud_init
    forwarder = _render(folder / "forwarder.yaml", folder / "forwarder")
    text, config_hash = _render(folder / "onprem-server.yaml", folder / "onprem-server")
    onprem = CloudInit(text, config_hash, text.encode())
    return Rendered(CloudInit(*forwarder, _gzip(*forwarder)), onprem)


def _render(file: Path, folder: Path) -> tuple[str, str]:
    """The text with every program of the folder in the place of its marker, and the hash."""
    text = _read(file)
    _check_start(file, text)
    markers = {indented or inline for _, indented, inline in _MARKER.findall(text)} - {_HASH}
    programs = {name: _read(folder / f"{name.lower()}.py") for name in sorted(markers)}
    for program in sorted(folder.glob("*.py")):
        if program.stem.upper() not in programs:
            problem = f"@@{program.stem.upper()}@@ is missing, so the machine would not get {program.name}"
            raise _invalid(file, problem, f"Put @@{program.stem.upper()}@@ back.")
    config_hash = _hash(text, *programs.values())
    shortened = {name: _without_words(folder / f"{name.lower()}.py", text) for name, text in programs.items()}
    values = {**shortened, _HASH: config_hash}

    def fill(found: re.Match[str]) -> str:
        value = values[found[2] or found[3]]
        return re.sub("^(?=.)", found[1] or "", value.rstrip("\n"), flags=re.MULTILINE)

    rendered = _MARKER.sub(fill, text)
    _check_yaml(file, rendered)
    if (size := len(rendered.encode())) > LARGEST:
        problem = f"rendered to {size:,} bytes; Azure takes at most {LARGEST:,}"
        raise _invalid(file, problem, f"Shorten the programs in {folder.name}.")
    return rendered, config_hash


def _without_words(file: Path, source: str) -> str:
    """A program as a machine needs it: a third of ours is for readers, and customData is short."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise _invalid(
            file, f"line {error.lineno} is not Python: {error.msg}", "Correct that place."
        ) from error
    lines: list[str | None] = [*source.splitlines()]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            count = (text.end_lineno or text.lineno) - text.lineno + 1
            instead = " " * text.col_offset + "pass" if len(node.body) == 1 else None
            lines[text.lineno - 1 : text.lineno - 1 + count] = [instead] + [None] * (count - 1)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = (lines[row - 1] or "")[:column].rstrip() or None
    return "\n".join(line for line in lines if line is not None).strip("\n") + "\n"


def _gzip(text: str, config_hash: str) -> bytes:
    """The text as gzip, its hash in the header's comment, so that the Bicep template can read it.

    RFC 1952: magic, method, flag FCOMMENT, no time, no extra flags, unknown system; then the comment. Two
    blanks let its text begin at byte 12, where a group of four base64 characters begins.
    """
    header = b"\x1f\x8b\x08\x10\0\0\0\0\0\xff" + f"  {HASH_LINE[2:]}{config_hash}".encode() + b"\0"
    content = text.encode()
    pack = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    ends = struct.pack("<II", zlib.crc32(content), len(content))
    return header + pack.compress(content) + pack.flush() + ends


def _read(file: Path) -> str:
    text = read_text(file)
    before, ended, _ = text.partition("\r")
    if ended:
        line = before.count("\n") + 1
        problem = f"line {line} ends with a carriage return (CRLF), which breaks it on a Linux machine"
        suggestion = (
            "Save it with LF line ends; with git: `git config core.autocrlf input`, then check it out again."
        )
        raise _invalid(file, problem, suggestion)
    return text


def _check_start(file: Path, text: str) -> None:
    lines = text.split("\n", 2)
    if lines[0] != FIRST_LINE:
        problem = f"the first line is not {FIRST_LINE}, so cloud-init would ignore the file"
        raise _invalid(file, problem, f"Make {FIRST_LINE} the first line, with nothing before or after it.")
    if lines[1:2] != [f"{HASH_LINE}@@CONFIG_HASH@@"]:
        problem = "the second line is not the one that the template reads the configuration's hash from"
        raise _invalid(file, problem, f"Make it `{HASH_LINE}@@CONFIG_HASH@@`.")


def _check_yaml(file: Path, rendered: str) -> None:
    import yaml

    try:
        document = yaml.safe_load(rendered)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        problem = getattr(error, "problem", None) or "unreadable"
        raise _invalid(file, f"{where}not YAML: {problem}", "Correct that place.") from error
    if not isinstance(document, dict):
        raise _invalid(file, "is not a YAML mapping", "Start with a key such as write_files:.")


def _invalid(file: Path, problem: str, suggestion: str) -> FwdctlError:
    return UsageError("cloud_init_invalid", f"{file}: {problem}.", suggestion)


def _hash(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode()
        digest.update(len(content).to_bytes(8, "big") + content)  # so that no two splits look alike
    return digest.hexdigest()[:16]
