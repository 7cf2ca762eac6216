"""Parameters, variables and user-defined functions of one template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdlab.arm.template import typecheck
from fwdlab.arm.template.environment import Frame, Unresolved, UserFunction
from fwdlab.arm.template.evaluate import is_property_copy
from fwdlab.arm.template.failures import invalid_template
from fwdlab.arm.template.values import ExpressionError, find_key

if TYPE_CHECKING:
    from fwdlab.arm.template.evaluate import Evaluator

_BUSY = object()


class Symbols:
    """Evaluates parameters and variables when first asked for; a supplied null counts as not given."""

    evaluator: Evaluator

    def __init__(self, template: dict[str, Any], supplied: dict[str, Any]) -> None:
        self.definitions: dict[str, Any] = template.get("definitions") or {}
        self.declared: dict[str, Any] = template.get("parameters") or {}
        self.functions = user_functions(template)
        self._supplied = supplied
        self._variables: dict[str, Any] = dict(template.get("variables") or {})
        loops = self._variables.get("copy")
        if is_property_copy(loops):
            del self._variables["copy"]
        self._loops = {str(loop["name"]): loop for loop in loops} if is_property_copy(loops) and loops else {}
        self._values: dict[tuple[str, str], Any] = {}

    def check(self) -> dict[str, dict[str, Any]]:
        """Evaluate all parameters and see that they fit their types.

        Returns:
            Name to `{type, value}` as deployment documents show them; secure ones without value.

        Raises:
            ArmError: InvalidTemplate: unknown, missing or unfitting values.
        """
        unknown = [name for name in self._supplied if find_key(self.declared, name) is None]
        if unknown:
            raise invalid_template(
                f"The template parameters '{', '.join(unknown)}' in the parameters file are not valid; they "
                f"are not present in the original template and can therefore not be provided at deployment "
                f"time. The only supported parameters for this template are '{', '.join(self.declared)}'. "
                f"Please see https://aka.ms/arm-pass-parameter-values for usage details."
            )
        try:
            return {name: self._shown(name) for name in self.declared}
        except ExpressionError as error:
            raise invalid_template(str(error)) from error

    def _shown(self, name: str) -> dict[str, Any]:
        value = self.parameter(name)
        kind, _ = typecheck.declared_type(self.declared[name], self.definitions, value)
        return {"type": kind} if kind.startswith("Secure") else {"type": kind, "value": value}

    def parameter(self, name: str) -> Any:
        key = find_key(self.declared, name)
        if key is None:
            raise ExpressionError(
                f"The template parameter '{name}' is not found. "
                f"Please see https://aka.ms/arm-syntax-parameters for usage details."
            )
        return self._once("parameter", key)

    def variable(self, name: str) -> Any:
        key = find_key(self._variables, name) or find_key(self._loops, name)
        if key is None:
            raise ExpressionError(
                f"The template variable '{name}' is not found. "
                f"Please see https://aka.ms/arm-syntax-variables for usage details."
            )
        return self._once("variable", key)

    def _once(self, kind: str, name: str) -> Any:
        place = (kind, name)
        if self._values.get(place) is _BUSY:
            raise ExpressionError(f"The template {kind} '{name}' depends on itself in a circle.")
        if place not in self._values:
            self._values[place] = _BUSY
            try:
                self._values[place] = self._parameter(name) if kind == "parameter" else self._variable(name)
            except (ExpressionError, Unresolved):
                del self._values[place]
                raise
        return self._values[place]

    def _parameter(self, name: str) -> Any:
        schema = typecheck.resolve(self.declared[name], self.definitions)
        given = find_key(self._supplied, name)
        value = self._supplied[given] if given is not None else None
        if value is None and "defaultValue" in schema:
            value = self.evaluator.value(schema["defaultValue"], Frame(defaults=True))
        if value is None and not schema.get("nullable"):
            raise ExpressionError(
                f"The value for the template parameter '{name}' is not provided. "
                f"Please see https://aka.ms/arm-create-parameter-file for usage details."
            )
        typecheck.check(name, value, schema, self.definitions)
        return value

    def _variable(self, name: str) -> Any:
        try:
            if name in self._variables:
                return self.evaluator.value(self._variables[name], Frame())
            return self.evaluator.loop(self._loops[name], Frame())
        except ExpressionError as error:
            raise ExpressionError(f"The template variable '{name}' is not valid: {error}") from error


def user_functions(template: dict[str, Any]) -> dict[str, UserFunction]:
    """The functions of the `functions` section by lower-case `namespace.name`."""
    found: dict[str, UserFunction] = {}
    for group in template.get("functions") or []:
        for name, member in group.get("members", {}).items():
            full = f"{group['namespace']}.{name}"
            parameters = tuple(one["name"] for one in member.get("parameters") or [])
            found[full.lower()] = UserFunction(full, parameters, member["output"]["value"])
    return found
