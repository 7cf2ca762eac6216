"""The errors of the deployments service, with ARM's codes and messages."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError

if TYPE_CHECKING:
    from datetime import datetime

_NOON = 12


def invalid_template(detail: str) -> ArmError:
    return ArmError(400, "InvalidTemplate", f"Deployment template validation failed: '{detail}'.")


def invalid_expression(resource: str, detail: str) -> ArmError:
    return ArmError(
        400,
        "InvalidTemplate",
        f"Unable to process template language expressions for resource '{resource}'. '{detail}'",
    )


def limit_exceeded(what: str, most: int, count: int) -> ArmError:
    return invalid_template(
        f"The number of template {what} limit exceeded. Limit: '{most}' and actual: '{count}'. "
        f"Please see https://aka.ms/arm-syntax-{what} for usage details."
    )


def invalid_deployment(name: str, details: list[dict[str, Any]]) -> ArmError:
    return ArmError(
        400,
        "InvalidTemplateDeployment",
        f"The template deployment '{name}' is not valid according to the validation procedure. "
        f"See inner errors for details.",
        details=details,
    )


def invalid_content(detail: str) -> ArmError:
    return ArmError(
        400,
        "InvalidRequestContent",
        f"The request content was invalid and could not be deserialized: '{detail}'.",
    )


def deployment_not_found(name: str) -> ArmError:
    return ArmError(404, "DeploymentNotFound", f"Deployment '{name}' could not be found.")


def deployment_active(name: str) -> ArmError:
    return ArmError(
        409,
        "DeploymentActive",
        f"Unable to edit or replace deployment '{name}': previous deployment is still active. "
        f"Please see https://aka.ms/arm-deploy for usage details.",
    )


def cannot_cancel(name: str, state: str) -> ArmError:
    return ArmError(
        409,
        "DeploymentCannotBeCancelled",
        f"The deployment '{name}' cannot be cancelled because it is in provisioning state '{state}'.",
    )


def output_failed(target: str, name: str, detail: str) -> ArmError:
    code = "DeploymentOutputEvaluationFailed"
    return ArmError(
        409,
        code,
        f"Unable to evaluate template outputs: '{name}'. Please see error details and deployment "
        f"operations. Please see https://aka.ms/arm-common-errors for usage details.",
        target=target,
        details=[
            {"code": code, "target": name, "message": f"The template output '{name}' is not valid: {detail}"}
        ],
    )


def deployment_failed(target: str, details: list[dict[str, Any]]) -> dict[str, Any]:
    message = (
        "At least one resource deployment operation failed. Please list deployment operations for details. "
        "Please see https://aka.ms/arm-deployment-operations for usage details."
    )
    return {"code": "DeploymentFailed", "target": target, "message": message, "details": details}


def cancelation(moment: datetime) -> str:
    """Why a deployment was cancelled: the request for it, in ARM's words (recorded from the service)."""
    hour = f"{moment.hour % 12 or 12}:{moment:%M:%S} {'AM' if moment.hour < _NOON else 'PM'}"
    return (
        "This deployment was canceled because a cancelation request was received at "
        f"'{moment.month}/{moment.day}/{moment.year} {hour}' using correlation id '{uuid.uuid4()}'."
    )


def deployment_canceled(target: str, reason: str) -> dict[str, Any]:
    return {"code": "DeploymentCanceled", "target": target, "message": reason}


def nested_failed(target: str, state: str, inner: dict[str, Any] | None) -> ArmError:
    """What a deployment that failed or was cancelled is to the deployment around it."""
    return ArmError(
        409,
        "ResourceDeploymentFailure",
        "The resource write operation failed to complete successfully, because it reached terminal "
        f"provisioning state '{state}'.",
        target=target,
        details=[inner] if inner else [],
    )


def detail_of(error: ArmError, target: str) -> dict[str, Any]:
    """An error as an entry of another's `details`, with the resource that it is about."""
    detail: dict[str, Any] = dict(error.body()["error"])
    detail.setdefault("target", target)
    return detail
