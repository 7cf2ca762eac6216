"""Outputs of a deployment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.template import typecheck
from fwdlab.arm.template.failures import output_failed
from fwdlab.arm.template.values import ExpressionError, kind_of

if TYPE_CHECKING:
    from fwdlab.arm.template.environment import Frame
    from fwdlab.arm.template.plan import Plan

Resolve = Callable[[Callable[["Frame"], Any]], Awaitable[Any]]
_CONFLICT = 409
_JSON_KINDS = {"Bool": "Boolean", "Int": "Integer", "SecureString": "String", "SecureObject": "Object"}


async def evaluate_outputs(plan: Plan, resolve: Resolve) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate the outputs of a plan whose resources are deployed.

    Args:
        plan: the plan.
        resolve: evaluates a function of a frame, fetching what it needs.

    Returns:
        `{name: {type, value}}` as shown, and the values of the secure ones, which are shown without value.

    Raises:
        ArmError: DeploymentOutputEvaluationFailed.
    """
    shown: dict[str, Any] = {}
    secure: dict[str, Any] = {}
    for name, output in (plan.request.template.get("outputs") or {}).items():
        try:
            if not await _wanted(plan, output, resolve):
                continue
            kind, value = await _one(plan, output, resolve)
        except (ExpressionError, ArmError) as error:
            body = output_failed(name, str(error))
            raise ArmError(
                _CONFLICT, body["code"], body["message"], target=plan.request.id, details=body["details"]
            ) from error
        if kind.startswith("Secure"):
            secure[name], shown[name] = value, {"type": kind}
        else:
            shown[name] = {"type": kind, "value": value}
    return shown, secure


async def _wanted(plan: Plan, output: dict[str, Any], resolve: Resolve) -> bool:
    condition = output.get("condition", True)
    return await resolve(lambda frame: plan.evaluator.value(condition, frame)) is True


async def _one(plan: Plan, output: dict[str, Any], resolve: Resolve) -> tuple[str, Any]:
    definitions = plan.request.template.get("definitions") or {}
    if "copy" in output:
        value = await resolve(lambda frame: plan.evaluator.loop(output["copy"], frame))
    else:
        value = await resolve(lambda frame: plan.evaluator.value(output.get("value"), frame))
    kind = typecheck.type_name(output, definitions, value)
    nullable = typecheck.resolve(output, definitions).get("nullable")
    wanted = (
        _JSON_KINDS.get(kind, kind) if "type" in typecheck.resolve(output, definitions) else kind_of(value)
    )
    if kind_of(value) != wanted and not (value is None and nullable):
        raise ExpressionError(
            f"Template output JToken type is not valid. Expected '{wanted}'. Actual '{kind_of(value)}'. "
            f"Please see https://aka.ms/arm-syntax-outputs for usage details."
        )
    return kind, value
