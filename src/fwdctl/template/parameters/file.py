"""Read a parameters file as azd does: the template's defaults, and `${NAME}` from the environment."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from fwdctl.encoding import foreign_encoding, plain_text_advice
from fwdctl.errors import ExitCode, FwdctlError, UsageError
from fwdctl.template.parameters.problems import ParametersError, Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# drone/envsubst 1.0.3, which azd uses: all forms give the default for an unset and for an empty variable.
_VARIABLE = re.compile(r"\$\{(\w+)(?::?[-=]([^}]*))?\}")


class _UnusableError(Exception):
    """A parameter without a usable value: what is wrong with it and what to do."""


def read_values(
    file: Path, compiled: Path, wanted: Sequence[str] | None, environment: Mapping[str, str]
) -> dict[str, Any]:
    """The value of each wanted parameter: the file's after substitution, else the template's default.

    Wanted is what the file gives where no names are given; the environment has the values for `${NAME}`.

    Raises:
        ParametersError: something is wrong with single parameters (2).
        FwdctlError: a file is missing (3), not JSON or without parameters (2).
    """
    declared, given = _parameters(compiled, {}), _parameters(file)
    problems, values = [], {}
    for name in given:
        if name not in declared:
            suggestion = did_you_mean(name, declared, "Delete it, or declare it in main.bicep.")
            problems.append(Problem(name, "is not a parameter of the template", suggestion))
    for name in given if wanted is None else wanted:
        try:
            values[name] = _value(name, given.get(name), declared.get(name, {}), environment)
        except _UnusableError as error:
            problems.append(Problem(name, *error.args))
    if problems:
        raise ParametersError(file, problems)
    return values


def read_text(file: Path) -> str:
    """A file of the template or the user, line ends as they are.

    Raises:
        FwdctlError: it is missing (exit code 3), or not to be read as UTF-8 (2).
    """
    try:
        content = file.read_bytes()
        return content.decode("utf-8")
    except FileNotFoundError as error:
        suggestion = "Correct its name; a file of the template is restored from version control."
        code = ExitCode.NOT_FOUND
        raise FwdctlError("file_not_found", f"{file} does not exist.", suggestion, exit_code=code) from error
    except UnicodeDecodeError as error:
        text = (
            f"{file} cannot be read: it is in {foreign_encoding(content) or 'another encoding than UTF-8'}."
        )
        raise _unreadable(text, plain_text_advice(file)) from error
    except OSError as error:
        raise _unreadable(f"{file} cannot be read: {error}", "Make it a readable file in UTF-8.") from error


def _unreadable(text: str, suggestion: str) -> FwdctlError:
    return UsageError("file_unreadable", text, suggestion)


def _parameters(file: Path, default: Any = None) -> dict[str, Any]:
    """The `parameters` of a JSON document."""
    try:
        document = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        text = f"{file}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}."
        suggestion = "Correct that place; JSON has no byte order mark, no comments, no last comma."
        raise UsageError("parameters_not_json", text, suggestion) from error
    value = document.get("parameters", default) if isinstance(document, dict) else None
    if isinstance(value, dict):
        return value
    suggestion = 'Write {"parameters": {"NAME": {"value": ...}}}.'
    raise ParametersError(file, [Problem("parameters", "is missing or not an object", suggestion)])


def _value(name: str, entry: Any, declaration: dict[str, Any], environment: Mapping[str, str]) -> Any:
    if entry is not None and not (isinstance(entry, dict) and "value" in entry):
        raise _UnusableError("has no 'value'", f'Write "{name}": {{"value": ...}}.')
    value = _substitute(entry["value"], declaration.get("type"), environment) if entry else None
    if value is None:
        value = declaration.get("defaultValue")
    if value is None:
        raise _UnusableError("is not set and has no default", f"Add {name}.")
    return value


def _substitute(value: Any, kind: str | None, environment: Mapping[str, str]) -> Any:
    """Put the environment's values for `${NAME}`, as azd does: inside the JSON text of the value.

    Returns None where the value becomes empty; azd leaves the parameter out then.
    """
    plain = isinstance(value, str)
    text = value if plain else json.dumps(value, ensure_ascii=False)
    if "${" not in text:
        return value
    text = _VARIABLE.sub(lambda found: environment.get(found[1]) or found[2] or "", text)
    if "${" in text:
        raise _UnusableError("holds a ${...} that is not understood", "Use ${NAME} or ${NAME=default}.")
    if not text or (plain and kind in {"string", None}):
        return text or None
    try:
        return json.loads(text)
    except ValueError as error:
        suggestion = "Check those values of the azd environment."
        raise _UnusableError("is not JSON after its ${...} were replaced", suggestion) from error
