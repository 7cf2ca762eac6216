"""String functions of ARM's reference."""

from __future__ import annotations

import base64
import re
import uuid
from typing import Any, NoReturn
from urllib.parse import quote, unquote, urljoin

from fwdlab.arm import jsonc
from fwdlab.arm.template.budget import fit
from fwdlab.arm.template.registry import Function, check
from fwdlab.arm.template.uniquestring import unique_string
from fwdlab.arm.template.values import ExpressionError, text_of

# The namespace of ARM's guid(): the function is a version 5 UUID of the arguments joined with a dash.
_GUID_NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")
_UNSIGNED = 2**64 - 1
_HOLE = re.compile(r"\{\{|\}\}|\{(\d+)(?:,(-?\d+))?(?::([^}]*))?\}|[{}]")


def _base64_to_string(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except ValueError as error:
        raise ExpressionError(
            f"The template language function 'base64ToString' cannot decode its parameter: {error}."
        ) from error


def _json(value: str) -> Any:
    try:
        return jsonc.loads(value)
    except ValueError as error:
        raise ExpressionError(
            f"The template language function 'json' parameter is not valid. The provided value is not valid "
            f"JSON: {error}. Please see https://aka.ms/arm-functions#json for usage details."
        ) from error


def _concat(*values: Any) -> Any:
    if any(isinstance(value, list) for value in values):
        return [item for value in values for item in check("concat", "array", value)]
    texts = [text_of(check("concat", "string|number|bool|array", value)) for value in values]
    fit(sum(map(len, texts)))
    return "".join(texts)


def _format(template: str, *values: Any) -> str:
    length = 0

    def fill(match: re.Match[str]) -> str:
        hole = match.group(0)
        if hole in {"{{", "}}"}:
            return hole[0]
        if match.group(1) is None or int(match.group(1)) >= len(values):
            raise ExpressionError(
                "Unable to evaluate template language function 'format': the format is invalid, or refers to "
                "an argument that was not given."
            )
        text = _formatted(values[int(match.group(1))], match.group(3) or "")
        width = int(match.group(2) or 0)
        nonlocal length
        length += max(abs(width), len(text))
        fit(length)
        return text.rjust(width) if width >= 0 else text.ljust(-width)

    return _HOLE.sub(fill, template)


def _formatted(value: Any, spec: str) -> str:
    """The part of .NET's composite formatting that templates use: D, X, N, F with a precision, or zeros."""
    if not spec or isinstance(value, bool) or not isinstance(value, (int, float)):
        return text_of(value)
    if set(spec) == {"0"}:
        value, spec = round(value), f"D{len(spec)}"
    letter, digits = spec[0], spec[1:]
    if letter not in "DdXxNnFf" or not re.fullmatch(r"\d{0,2}", digits):
        raise ExpressionError(f"The template language function 'format' does not support '{spec}' here.")
    if letter in "NnFf":
        return format(value, f"{',' if letter in 'Nn' else ''}.{digits or 2}f")
    if not isinstance(value, int):
        raise ExpressionError(f"The template language function 'format' needs an integer for '{letter}'.")
    if letter in "Dd":
        return ("-" if value < 0 else "") + str(abs(value)).zfill(int(digits or 0))
    return format(value & _UNSIGNED, letter).zfill(int(digits or 0))


def _pad_left(value: str | int, width: int, fill: str = " ") -> str:
    if len(fill) != 1:
        raise ExpressionError("The template language function 'padLeft' needs one character to pad with.")
    fit(width)
    return text_of(value).rjust(width, fill)


def _replace(value: str, old: str, new: str) -> str:
    if not old:
        raise ExpressionError("The template language function 'replace' cannot replace an empty string.")
    fit(len(value) + value.count(old) * (len(new) - len(old)))
    return value.replace(old, new)


def _split(value: str, delimiter: str | list[Any]) -> list[str]:
    delimiters = delimiter if isinstance(delimiter, list) else [delimiter]
    pattern = "|".join(re.escape(check("split", "string", one)) for one in delimiters)
    return re.split(pattern, value) if pattern else [value]


def _substring(text: str, start: int, length: int | None = None) -> str:
    count = len(text) - start if length is None else length
    if start < 0 or count < 0 or start + count > len(text):
        raise ExpressionError(
            f"Unable to evaluate template language function 'substring': the parameters index '{start}' and "
            f"length '{count}' must refer to a location within the string of length '{len(text)}'."
        )
    return text[start : start + count]


def _fail(message: str) -> NoReturn:
    raise ExpressionError(message)


FUNCTIONS = (
    Function("base64", "string", lambda text: base64.b64encode(text.encode()).decode()),
    Function("base64ToString", "string", _base64_to_string),
    Function("base64ToJson", "string", lambda text: _json(_base64_to_string(text))),
    Function("uriComponent", "string", lambda text: quote(text, safe="")),
    Function("uriComponentToString", "string", unquote),
    Function("json", "string", _json),
    Function("concat", "any any*", _concat),
    Function("format", "string any*", _format),
    Function("string", "any", text_of),
    Function("toLower", "string", str.lower),
    Function("toUpper", "string", str.upper),
    Function("trim", "string", str.strip),
    Function("startsWith", "string string", lambda text, part: text.lower().startswith(part.lower())),
    Function("endsWith", "string string", lambda text, part: text.lower().endswith(part.lower())),
    Function("padLeft", "string|int int string?", _pad_left),
    Function("replace", "string string string", _replace),
    Function("split", "string string|array", _split),
    Function("substring", "string int int?", _substring),
    Function("uniqueString", "string string*", lambda *parts: unique_string("-".join(parts))),
    Function("guid", "string string*", lambda *parts: str(uuid.uuid5(_GUID_NAMESPACE, "-".join(parts)))),
    Function("uri", "string string", urljoin),
    Function("fail", "string", _fail),
)
