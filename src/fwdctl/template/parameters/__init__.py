"""What a user edits, `infra/main.parameters.json`: read as azd reads it, checked before a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from fwdctl.template.parameters.file import read_values
from fwdctl.template.parameters.models import Parameters
from fwdctl.template.parameters.problems import ParametersError, Problem, problems_in
from fwdctl.template.parameters.rules import contradictions, hidden_zones

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Parameters", "ParametersError", "Problem", "hidden_zones", "load", "read_values"]


def load(file: Path, compiled: Path, environment: Mapping[str, str]) -> Parameters:
    """Read and check a parameters file.

    The `defaultValue`s of the compiled template, `infra/main.json`, stand in for what it leaves out;
    `environment` is azd's over the process's, for `${NAME}`.

    Raises:
        ParametersError: something in it is wrong (exit code 2).
        FwdctlError: a file is missing (3) or not JSON (2).
    """
    wanted = [field.alias or name for name, field in Parameters.model_fields.items()]
    values = read_values(file, compiled, wanted, environment)
    try:
        parameters = Parameters.model_validate(values)
    except ValidationError as error:
        raise ParametersError(file, problems_in(error)) from error
    if problems := list(contradictions(parameters)):
        raise ParametersError(file, problems)
    return parameters
