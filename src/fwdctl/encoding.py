"""Which encoding a file is in, where it is not the UTF-8 without a byte order mark that everybody reads."""

from __future__ import annotations

import codecs
import re

_MARKS = {
    codecs.BOM_UTF8: "UTF-8 with a byte order mark",
    codecs.BOM_UTF32_LE: "UTF-32",  # begins as UTF-16's mark does
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def foreign_encoding(content: bytes) -> str:
    """The encoding's name; empty for what may be UTF-8."""
    for mark, name in _MARKS.items():
        if content.startswith(mark):
            return name
    ascii_in_16_bits = re.match(rb"\0[\x01-\x7f]|[\x01-\x7f]\0", content)
    return "UTF-16 without a byte order mark" if ascii_in_16_bits else ""


def plain_text_advice(file: object) -> str:
    """How to get it right; Windows PowerShell makes UTF-16 of every `>`."""
    quoted = "'" + str(file).replace("'", "''") + "'"
    command = f"[IO.File]::WriteAllText({quoted}, (Get-Content -Raw {quoted}))"
    return f"Save it as UTF-8 without a byte order mark; in PowerShell: `{command}`."
