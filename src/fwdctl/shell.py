"""Words of printed commands, as the shell in use takes them."""

from __future__ import annotations

import os
import re
import shlex

WINDOWS = os.name == "nt"
_PLAIN = re.compile(r"[A-Za-z0-9_+=:./\\-]+")


def quoted(word: str) -> str:
    """A word as the shell takes it: any POSIX shell; PowerShell and, so far as it can, cmd on Windows.

    Double quotes are the only ones that both shells of Windows know; what PowerShell would replace in them
    stands in single ones.
    """
    if not WINDOWS:
        return shlex.quote(word)
    if _PLAIN.fullmatch(word):
        return word
    if set('$`"\u201c\u201d') & set(word):
        doubled = word.replace("'", "''")
        return f"'{doubled}'"
    return f'"{word}"'
