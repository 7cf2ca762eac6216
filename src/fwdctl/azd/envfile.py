"""What a `.env` file holds for azd, which reads it with godotenv 1.5.1.

What azd writes is plain and read with python-dotenv. In what people write by hand the two readers differ: on
`${NAME}` within a value, `NAME: value`, backslashes, comments, and on what is an error. Such a file is read
by godotenv's rules (its parser.go), quirks included: what counts is what azd makes of it.
"""

from __future__ import annotations

import re
from io import StringIO

_AS_AZD_WRITES = re.compile(
    r'(?:[A-Za-z_]\w*=(?:-?[0-9]+|"(?:[^"\\$!`\r\n]|\\[\\"!$`nr])*(?<![\\"])"|"")\n)*', re.ASCII
)
# azd escapes these three too, and python-dotenv does not undo them. As azd also doubles every backslash, and
# python-dotenv undoes that, exactly one backslash is left before each of them.
_LEFT_ESCAPED = re.compile(r"\\([$!`])")

_BLANK = "\t\v\f\r \x85\xa0"
_SPACE = _BLANK + "\n\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_EXPORT = re.compile(f"export[{_BLANK}]+")
_COMMENT = re.compile(f"(.*[{_BLANK}])#")
_LINE = re.compile(r"[^\r\n]*")
_VARIABLE = re.compile(r"(\\)?\$\(?\{?([A-Z0-9_]+)?\}?", re.ASCII)


def parse(text: str) -> dict[str, str]:
    """The values in a file's text.

    Raises:
        ValueError: azd cannot read it either; the message names the line.
    """
    if _AS_AZD_WRITES.fullmatch(text):
        from dotenv import dotenv_values

        values = dotenv_values(stream=StringIO(text), interpolate=False)
        return {name: _LEFT_ESCAPED.sub(r"\1", value or "") for name, value in values.items()}
    return _parse_as_godotenv(text.replace("\r\n", "\n"))


def _parse_as_godotenv(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    rest = text
    while rest := rest.lstrip(_SPACE):
        if rest.startswith("#"):
            rest = rest.partition("\n")[2]
            continue
        try:
            name, rest = _name(rest)
            values[name], rest = _value(rest, values)
        except ValueError as error:
            line = text.count("\n", 0, len(text) - len(rest)) + 1
            raise ValueError(f"line {line}: {error}") from error
    return values


def _name(text: str) -> tuple[str, str]:
    """A name and what follows its `=` or `:`; a last line without either is a value without a name."""
    text = _EXPORT.sub("", text, count=1) if _EXPORT.match(text) else text
    name = re.split("[=:]", text, maxsplit=1)[0]
    # godotenv looks at bytes, as if each were a character of Latin-1.
    for character in name.encode("utf-8").decode("latin-1"):
        if not (character.isalpha() or character.isnumeric() or character in "_." + _BLANK):
            raise ValueError(f"{character!r} in the name of a value")
    if not text:
        raise ValueError("`export` of nothing")
    if len(name) == len(text):
        return "", text
    return name.rstrip(_SPACE), text[len(name) + 1 :].lstrip(_BLANK)


def _value(text: str, earlier: dict[str, str]) -> tuple[str, str]:
    """A value and what follows it."""
    quote = text[:1]
    if quote not in {'"', "'"}:
        line = _LINE.match(text)[0]  # type: ignore[index]  # it matches anything
        comment = _COMMENT.match(line)
        return _expand((comment[1] if comment else line).strip(_BLANK), earlier), text[len(line) :]
    # A quote ends the value unless a backslash stands before it, even one that is escaped itself.
    end = re.compile(rf"(?<!\\){quote}").search(text, 1)
    if end is None:
        raise ValueError(f"a value without its closing {quote}")
    value, rest = text[: end.start()].strip(quote), text[end.end() :]
    return (_expand(_unescape(value), earlier) if quote == '"' else value), rest


def _unescape(value: str) -> str:
    lines = re.sub(r"\\.", lambda found: {r"\n": "\n", r"\r": "\r"}.get(found[0], found[0]), value)
    return re.sub(r"\\([^$])", r"\1", lines)


def _expand(value: str, earlier: dict[str, str]) -> str:
    def replacement(found: re.Match[str]) -> str:
        if found[1]:
            return found[0][1:]
        return earlier.get(found[2], "") if found[2] else found[0]

    return _VARIABLE.sub(replacement, value)
