"""Deployments that are resources of a template."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.template.failures import invalid_template
from fwdlab.arm.template.request import Outer, read_request

if TYPE_CHECKING:
    from fwdlab.arm.template.expansion import ExpandedResource, Expansion
    from fwdlab.arm.template.request import DeploymentRequest


def nested_request(
    expansion: Expansion, resource: ExpandedResource, body: dict[str, Any]
) -> DeploymentRequest:
    """What a deployment resource of a template asks for; `body` is evaluated and has no template."""
    properties = body.get("properties")
    if not isinstance(properties, dict):
        raise invalid_template(f"The deployment '{resource.name}' has no property 'properties'")
    template = resource.raw["properties"].get("template")
    request = read_request(
        resource.name, resource.scope, {**body, "properties": {**properties, "template": template}}
    )
    resource.raw["properties"]["template"] = request.template  # read once for all turns of a loop
    if not resource.outer:
        return request
    if request.parameters:
        raise invalid_template(
            f"The deployment '{resource.name}' is evaluated in the outer scope and cannot be given "
            f"parameters. Please see https://aka.ms/arm-template-expression-evaluation for usage details."
        )
    return replace(request, outer=Outer(expansion.environment, resource.frame))
