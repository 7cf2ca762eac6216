"""Read a parameters file as azd does: the template's defaults, and `${NAME}` from the environment."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any

from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.template.parameters.fields import ParametersError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def read_values(
    file: Path,
    compiled: Path,
    wanted: tuple[str, ...] | None,
    environment: Mapping[str, str],
    problems: list[Problem],
) -> dict[str, Any]:
    """The value of each wanted parameter: the file's after substitution, else the template's default.

    Args:
        file: the parameters file.
        compiled: the compiled template, for defaults and names.
        wanted: names of the parameters to read, None for those that the file gives.
        environment: values for `${NAME}`.
        problems: takes what is wrong with single parameters.

    Raises:
        FwdctlError: a file is missing (3), not JSON or without parameters (2).
    """
    declared = _object(compiled, _read_json(compiled), "parameters", {})
    given = _object(file, _read_json(file), "parameters")
    _check_names(given, declared, problems)
    values = {}
    for name in given if wanted is None else wanted:
        declaration = declared.get(name, {})
        value = declaration.get("defaultValue")
        entry = given.get(name)
        if isinstance(entry, dict) and "value" in entry:
            substituted = _substitute(name, entry["value"], declaration.get("type"), environment, problems)
            value = value if substituted is None else substituted
        elif entry is not None:
            problems.append(Problem(name, "has no 'value'", f'Write "{name}": {{"value": ...}}.'))
        if value is None:
            problems.append(Problem(name, "is not set and has no default", f"Add {name}."))
        values[name] = value
    return values


def _check_names(given: dict[str, Any], declared: dict[str, Any], problems: list[Problem]) -> None:
    for name in given:
        if name not in declared:
            close = difflib.get_close_matches(name, declared, 1)
            mend = f"Did you mean '{close[0]}'?" if close else "Delete it, or declare it in main.bicep."
            problems.append(Problem(name, "is not a parameter of the template", mend))


def read_text(file: Path) -> str:
    """A file of the template or the user, line ends as they are.

    Raises:
        FwdctlError: it is missing (exit code 3), or not to be read as UTF-8 (2).
    """
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise FwdctlError(
            "file_not_found",
            f"{file} does not exist.",
            "Correct its name; a file of the template is restored from version control.",
            exit_code=ExitCode.NOT_FOUND,
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise FwdctlError(
            "file_unreadable",
            f"{file} cannot be read: {error}",
            "Make it a readable file in UTF-8.",
            exit_code=ExitCode.USAGE,
        ) from error


def _read_json(file: Path) -> Any:
    text = read_text(file)
    if text.startswith("\ufeff"):
        raise FwdctlError(
            "parameters_not_json",
            f"{file} begins with a byte order mark, which azd does not read.",
            "Save it as UTF-8 without one.",
            exit_code=ExitCode.USAGE,
        )
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise FwdctlError(
            "parameters_not_json",
            f"{file}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}.",
            "Mend that place; JSON has no comments and no comma after the last element.",
            exit_code=ExitCode.USAGE,
        ) from error


def _object(file: Path, document: Any, key: str, default: Any = None) -> dict[str, Any]:
    value = document.get(key, default) if isinstance(document, dict) else None
    if isinstance(value, dict):
        return value
    problem = Problem(key, "is missing or not an object", 'Write {"parameters": {"NAME": {"value": ...}}}.')
    raise ParametersError(file, (problem,))


# drone/envsubst 1.0.3, which azd uses: all forms give the default for an unset and for an empty variable.
_VARIABLE = re.compile(r"\$\{(\w+)(?::?[-=]([^}]*))?\}")


def _substitute(
    name: str, value: Any, kind: str | None, environment: Mapping[str, str], problems: list[Problem]
) -> Any:
    """Put the environment's values for `${NAME}`, as azd does: inside the JSON text of the value.

    Returns None where the value becomes empty; azd leaves the parameter out then.
    """
    text = json.dumps(value, ensure_ascii=False)
    if "${" not in text:
        return value
    plain = isinstance(value, str)
    text = _VARIABLE.sub(lambda found: environment.get(found[1]) or found[2] or "", value if plain else text)
    if "${" in text:
        problems.append(
            Problem(name, "holds a ${...} that is not understood", "Use ${NAME} or ${NAME=default}.")
        )
        return None
    if not text:
        return None
    if plain and kind in {"string", None}:
        return text
    try:
        return json.loads(text)
    except ValueError:
        problems.append(
            Problem(
                name,
                "is not JSON after its ${...} were replaced",
                "Check those values of the azd environment.",
            )
        )
        return None
