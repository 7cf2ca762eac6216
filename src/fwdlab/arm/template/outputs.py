"""Outputs of a deployment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.template import typecheck
from fwdlab.arm.template.failures import output_failed
from fwdlab.arm.template.values import ExpressionError, kind_of

if TYPE_CHECKING:
    from fwdlab.arm.template.environment import Frame
    from fwdlab.arm.template.expansion import Expansion

Resolve = Callable[[Callable[["Frame"], Any]], Awaitable[Any]]


def output_value(expansion: Expansion, output: dict[str, Any], frame: Frame) -> Any:
    if "copy" in output:
        return expansion.evaluator.loop(output["copy"], frame)
    return expansion.evaluator.value(output.get("value"), frame)


async def evaluate_outputs(expansion: Expansion, resolve: Resolve) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate the outputs of a template whose resources are deployed.

    Returns:
        `{name: {type, value}}` as shown, and the values of the secure ones, which are shown without value.

    Raises:
        ArmError: DeploymentOutputEvaluationFailed.
    """
    shown: dict[str, Any] = {}
    secure: dict[str, Any] = {}
    for name, output in (expansion.request.template.get("outputs") or {}).items():
        try:
            condition = output.get("condition", True)
            if await resolve(partial(expansion.evaluator.value, condition)) is not True:
                continue
            value = await resolve(partial(output_value, expansion, output))
            kind = _checked_type(output, expansion.request.template.get("definitions") or {}, value)
        except (ExpressionError, ArmError) as error:
            raise output_failed(expansion.request.id, name, str(error)) from error
        if kind.startswith("Secure"):
            secure[name], shown[name] = value, {"type": kind}
        else:
            shown[name] = {"type": kind, "value": value}
    return shown, secure


def _checked_type(output: dict[str, Any], definitions: dict[str, Any], value: Any) -> str:
    kind, wanted = typecheck.declared_type(output, definitions, value)
    nullable = typecheck.resolve(output, definitions).get("nullable")
    if kind_of(value) != wanted and not (value is None and nullable):
        raise ExpressionError(
            f"Template output JToken type is not valid. Expected '{wanted}'. Actual '{kind_of(value)}'. "
            f"Please see https://aka.ms/arm-syntax-outputs for usage details."
        )
    return kind
