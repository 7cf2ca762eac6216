"""A deployment resource inside a template, as a deployment of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdlab.arm.template.failures import invalid_template
from fwdlab.arm.template.request import DeploymentRequest, Outer, read_request
from fwdlab.arm.template.scopes import Scope

if TYPE_CHECKING:
    from fwdlab.arm.template.plan import Plan, Planned


def nested_request(plan: Plan, planned: Planned, body: dict[str, Any]) -> DeploymentRequest:
    """What a nested deployment asks for.

    Args:
        plan: the plan that it is a resource of.
        planned: the deployment resource.
        body: its body, evaluated, without the template.

    Raises:
        ArmError: InvalidTemplate, or something that the lab cannot do.
    """
    properties = body.get("properties")
    if not isinstance(properties, dict):
        raise invalid_template(f"The deployment '{planned.name}' has no property 'properties'")
    template = planned.raw["properties"].get("template")
    request = read_request(
        planned.name, planned.scope, {**body, "properties": {**properties, "template": template}}
    )
    if not planned.outer:
        return request
    if request.parameters:
        raise invalid_template(
            f"The deployment '{planned.name}' is evaluated in the outer scope and cannot be given "
            f"parameters. Please see https://aka.ms/arm-template-expression-evaluation for usage details."
        )
    return DeploymentRequest(
        request.name,
        Scope(request.scope.subscription_id, request.scope.resource_group),
        request.location,
        request.tags,
        request.template,
        outer=Outer(plan.environment, planned.frame),
    )
