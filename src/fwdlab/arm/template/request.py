"""What is asked to be deployed: the body of a PUT, or a deployment resource inside a template."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.template.budget import LARGEST
from fwdlab.arm.template.failures import invalid_content, invalid_template, limit_exceeded
from fwdlab.arm.template.scopes import DEPLOYMENTS
from fwdlab.arm.template.shape import check_shape, spelled
from fwdlab.arm.template.values import compact, get

if TYPE_CHECKING:
    from fwdlab.arm.template.environment import Environment, Frame
    from fwdlab.arm.template.scopes import Scope

_NAME = re.compile(r"[\w().-]+")
_LONGEST_NAME = 64
MODE = "Incremental"  # the only one of the lab
_MOST = {"parameters": 256, "variables": 512, "outputs": 64}
_SCHEMAS = {
    "deploymenttemplate.json": "resourceGroup",
    "subscriptiondeploymenttemplate.json": "subscription",
    "managementgroupdeploymenttemplate.json": "managementGroup",
    "tenantdeploymenttemplate.json": "tenant",
}


class CheckedTemplate(dict[str, Any]):
    """A template that was read, in ARM's own spelling; `kind` is the scope that it is for.

    A nested deployment in a loop is read many times: what is checked once is known by this class.
    """

    kind: str


@dataclass(frozen=True)
class Outer:
    """The evaluation scope of a nested template that is evaluated in its parent's."""

    environment: Environment
    frame: Frame


@dataclass(frozen=True)
class DeploymentRequest:
    """One deployment.

    Attributes:
        location: where a subscription deployment keeps its data, empty at group scope.
        outer: given for a nested template with outer expression scope.
    """

    name: str
    scope: Scope
    location: str
    tags: dict[str, str]
    template: CheckedTemplate
    parameters: dict[str, Any] = field(default_factory=dict)
    outer: Outer | None = None

    @property
    def id(self) -> str:
        return f"{self.scope.id}/providers/{DEPLOYMENTS}/{self.name}"


def read_request(name: str, scope: Scope, body: Any) -> DeploymentRequest:
    """Read the body of a deployment.

    Raises:
        ArmError: InvalidRequestContent, InvalidTemplate, or something that the lab cannot do.
    """
    _check_name(name)
    properties = body.get("properties") if isinstance(body, dict) else None
    if not isinstance(properties, dict):
        raise invalid_content("The request has no property 'properties'.")
    for link in ("templateLink", "parametersLink", "onErrorDeployment"):
        if properties.get(link):
            raise ArmError(400, "LabDeploymentPropertyNotSupported", f"The lab does not support '{link}'.")
    mode = str(properties.get("mode") or MODE)
    if mode.lower() != MODE.lower():
        raise ArmError(400, "LabDeploymentModeNotSupported", f"The lab does not support the mode '{mode}'.")
    tags = body.get("tags") or {}
    if not isinstance(tags, dict) or any(isinstance(value, (dict, list)) for value in tags.values()):
        raise invalid_content("'tags' must be an object of strings.")
    template = properties.get("template")
    if not isinstance(template, dict):
        raise invalid_content("The deployment has no template: 'properties.template' must be an object.")
    return DeploymentRequest(
        name,
        scope,
        str(body.get("location") or ""),
        tags,
        _checked_template(template, scope),
        _parameter_values(properties.get("parameters")),
    )


def _check_name(name: str) -> None:
    if len(name) > _LONGEST_NAME:
        raise ArmError(
            400,
            "DeploymentNameLengthLimitExceeded",
            f"The provided deployment name '{name}' has a length of '{len(name)}' which exceeds the maximum "
            f"length of '{_LONGEST_NAME}'.",
        )
    if not _NAME.fullmatch(name):
        raise ArmError(
            400,
            "DeploymentNameInvalidCharacters",
            f"The deployment name '{name}' contains invalid characters. It may have letters, digits and "
            f"'-', '_', '.', '(', ')'.",
        )


def _parameter_values(given: Any) -> dict[str, Any]:
    """Values by name, from `{name: {value}}`."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise invalid_content("'properties.parameters' must be an object.")
    if "$schema" in given and isinstance(given.get("parameters"), dict):
        given = given["parameters"]  # a whole parameters file
    values: dict[str, Any] = {}
    for name, entry in given.items():
        if not isinstance(entry, dict):
            raise invalid_template(
                f"The value for the template parameter '{name}' must be an object with the property 'value'. "
                f"Please see https://aka.ms/arm-create-parameter-file for usage details."
            )
        if entry.get("reference"):
            raise ArmError(
                400,
                "LabParameterReferenceNotSupported",
                f"The lab does not read key vault references, as given for the parameter '{name}'.",
            )
        values[name] = get(entry, "value")
    return values


def check_content(body: Any) -> None:
    """What a client sends is 4 MB at most, the parameters included (bicep-registry-modules#2358)."""
    if len(compact(body).encode()) > LARGEST:
        refusal = "The request content size exceeds the maximum size of 4 MB."
        raise ArmError(413, "RequestContentTooLarge", refusal)


def _check_limits(template: dict[str, Any]) -> None:
    """ARM's own (azure-resource-manager/templates/best-practices); resources are counted with their loops.

    That page and Bicep's rule `max-variables` say 512 variables; older pages still have 256.
    """
    for section, most in _MOST.items():
        count = len(template.get(section) or ())
        if count > most:
            raise limit_exceeded(section, most, count)


def _checked_template(template: dict[str, Any], scope: Scope) -> CheckedTemplate:
    """The template in ARM's own spelling, when it is one that this engine runs in this scope."""
    wanted = "resourceGroup" if scope.resource_group else "subscription"
    if isinstance(template, CheckedTemplate) and template.kind == wanted:
        return template
    template = CheckedTemplate(spelled(template))
    schema = str(template.get("$schema", "")).rstrip("#").rsplit("/", 1)[-1].lower()
    kind = _SCHEMAS.get(schema)
    if kind is None:
        raise invalid_template(f"The template schema '{template.get('$schema')}' is not supported")
    if kind in {"managementGroup", "tenant"}:
        raise ArmError(400, "LabDeploymentScopeNotSupported", f"The lab has no {kind} deployments.")
    if kind != wanted:
        raise invalid_template(
            f"The template schema '{template['$schema']}' is not supported at {wanted} scope. "
            f"Please see https://aka.ms/arm-syntax for usage details."
        )
    if not template.get("contentVersion"):
        raise invalid_template("The template has no property 'contentVersion'")
    check_shape(template)
    _check_limits(template)
    for feature in ("imports", "extensions"):
        if template.get(feature):
            raise ArmError(400, "LabTemplateFeatureNotSupported", f"The lab does not support '{feature}'.")
    template.kind = kind
    return template
