"""String functions of ARM's reference."""

from __future__ import annotations

import base64
import json
import re
import uuid
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from fwdlab.arm.template.numberformat import formatted
from fwdlab.arm.template.registry import a_string, an_array, an_integer, an_object, function, wrong
from fwdlab.arm.template.uniquestring import unique_string
from fwdlab.arm.template.values import ExpressionError, text_of

# The namespace of ARM's guid(): the function is a version 5 UUID of the arguments joined with a dash.
_GUID_NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")
_HOLE = re.compile(r"\{\{|\}\}|\{(\d+)(?:,(-?\d+))?(?::([^}]*))?\}|[{}]")
_DATA_URI = re.compile(r"data:(?P<kind>[^,]*?)(?P<coded>;base64)?,(?P<data>.*)", re.DOTALL | re.IGNORECASE)


@function("base64", 1)
def _base64(value: Any) -> str:
    return base64.b64encode(a_string("base64", value).encode()).decode()


@function("base64ToString", 1)
def _base64_to_string(value: Any) -> str:
    try:
        return base64.b64decode(a_string("base64ToString", value), validate=True).decode()
    except ValueError as error:
        raise ExpressionError(
            f"The template language function 'base64ToString' cannot decode its parameter: {error}."
        ) from error


@function("base64ToJson", 1)
def _base64_to_json(value: Any) -> Any:
    return _json(_base64_to_string(value))


@function("json", 1)
def _json(value: Any) -> Any:
    try:
        return json.loads(a_string("json", value))
    except ValueError as error:
        raise ExpressionError(
            f"The template language function 'json' parameter is not valid. The provided value is not valid "
            f"JSON: {error}. Please see https://aka.ms/arm-functions#json for usage details."
        ) from error


@function("concat", 1, None)
def _concat(*values: Any) -> Any:
    if any(isinstance(value, list) for value in values):
        return [item for value in values for item in an_array("concat", value)]
    if any(isinstance(value, dict) or value is None for value in values):
        raise wrong(
            "concat", "a string or an array", next(v for v in values if v is None or isinstance(v, dict))
        )
    return "".join(text_of(value) for value in values)


@function("format", 1, None)
def _format(template: Any, *values: Any) -> str:
    def fill(match: re.Match[str]) -> str:
        hole = match.group(0)
        if hole in {"{{", "}}"}:
            return hole[0]
        if match.group(1) is None or int(match.group(1)) >= len(values):
            raise ExpressionError(
                "Unable to evaluate template language function 'format': the format is invalid, or refers to "
                "an argument that was not given."
            )
        text = formatted(values[int(match.group(1))], match.group(3) or "")
        width = int(match.group(2) or 0)
        return text.rjust(width) if width >= 0 else text.ljust(-width)

    return _HOLE.sub(fill, a_string("format", template))


@function("string", 1)
def _string(value: Any) -> str:
    return text_of(value)


@function("toLower", 1)
def _to_lower(value: Any) -> str:
    return a_string("toLower", value).lower()


@function("toUpper", 1)
def _to_upper(value: Any) -> str:
    return a_string("toUpper", value).upper()


@function("trim", 1)
def _trim(value: Any) -> str:
    return a_string("trim", value).strip()


@function("startsWith", 2)
def _starts_with(value: Any, part: Any) -> bool:
    return a_string("startsWith", value).lower().startswith(a_string("startsWith", part).lower())


@function("endsWith", 2)
def _ends_with(value: Any, part: Any) -> bool:
    return a_string("endsWith", value).lower().endswith(a_string("endsWith", part).lower())


@function("like", 2)
def _like(value: Any, pattern: Any) -> bool:
    # `*` stands for any text; without case.
    parts = (re.escape(part) for part in a_string("like", pattern).split("*"))
    return re.fullmatch(".*".join(parts), a_string("like", value), re.IGNORECASE | re.DOTALL) is not None


@function("padLeft", 2, 3)
def _pad_left(value: Any, width: Any, fill: Any = " ") -> str:
    if len(a_string("padLeft", fill)) != 1:
        raise ExpressionError("The template language function 'padLeft' needs one character to pad with.")
    if isinstance(value, (list, dict)) or value is None:
        raise wrong("padLeft", "a string or an integer", value)
    return text_of(value).rjust(an_integer("padLeft", width), fill)


@function("replace", 3)
def _replace(value: Any, old: Any, new: Any) -> str:
    if not a_string("replace", old):
        raise ExpressionError("The template language function 'replace' cannot replace an empty string.")
    return a_string("replace", value).replace(old, a_string("replace", new))


@function("split", 2)
def _split(value: Any, delimiter: Any) -> list[str]:
    delimiters = delimiter if isinstance(delimiter, list) else [delimiter]
    pattern = "|".join(re.escape(a_string("split", one)) for one in delimiters)
    text = a_string("split", value)
    return re.split(pattern, text) if pattern else [text]


@function("substring", 2, 3)
def _substring(value: Any, start: Any, length: Any = None) -> str:
    text, begin = a_string("substring", value), an_integer("substring", start)
    count = len(text) - begin if length is None else an_integer("substring", length)
    if begin < 0 or count < 0 or begin + count > len(text):
        raise ExpressionError(
            f"Unable to evaluate template language function 'substring': the parameters index '{begin}' and "
            f"length '{count}' must refer to a location within the string of length '{len(text)}'."
        )
    return text[begin : begin + count]


@function("uniqueString", 1, None)
def _unique_string(*values: Any) -> str:
    return unique_string("-".join(a_string("uniqueString", value) for value in values))


@function("guid", 1, None)
def _guid(*values: Any) -> str:
    return str(uuid.uuid5(_GUID_NAMESPACE, "-".join(a_string("guid", value) for value in values)))


@function("uri", 2)
def _uri(base: Any, relative: Any) -> str:
    return urljoin(a_string("uri", base), a_string("uri", relative))


@function("uriComponent", 1)
def _uri_component(value: Any) -> str:
    return quote(a_string("uriComponent", value), safe="-_.~")


@function("uriComponentToString", 1)
def _uri_component_to_string(value: Any) -> str:
    return unquote(a_string("uriComponentToString", value))


@function("dataUri", 1)
def _data_uri(value: Any) -> str:
    return "data:text/plain;charset=utf8;base64," + _base64(a_string("dataUri", value))


@function("dataUriToString", 1)
def _data_uri_to_string(value: Any) -> str:
    match = _DATA_URI.fullmatch(a_string("dataUriToString", value))
    if match is None:
        raise ExpressionError("The template language function 'dataUriToString' needs a data URI.")
    return _base64_to_string(match["data"]) if match["coded"] else unquote(match["data"])


@function("parseUri", 1)
def _parse_uri(value: Any) -> dict[str, Any]:
    parts = urlsplit(a_string("parseUri", value))
    if not parts.scheme or not parts.hostname:
        raise ExpressionError(
            f"The template language function 'parseUri' needs an absolute URI, not '{value}'."
        )
    found: dict[str, Any] = {"scheme": parts.scheme, "host": parts.hostname}
    if parts.port is not None:
        found["port"] = parts.port
    found["path"] = parts.path
    return found | ({"query": "?" + parts.query} if parts.query else {})


@function("buildUri", 1)
def _build_uri(value: Any) -> str:
    parts = an_object("buildUri", value)
    port = f":{parts['port']}" if "port" in parts else ""
    path, query = text_of(parts.get("path")), text_of(parts.get("query"))
    path = path if not path or path.startswith("/") else "/" + path
    query = query if not query or query.startswith("?") else "?" + query
    scheme, host = (a_string("buildUri", parts.get(name)) for name in ("scheme", "host"))
    return f"{scheme}://{host}{port}{path}{query}"


@function("fail", 1)
def _fail(message: Any) -> None:
    raise ExpressionError(a_string("fail", message))
