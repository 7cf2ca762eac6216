"""Deploy a template into a lab with fwdctl's own client of Azure, and stop the jump boxes afterwards."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from fwdctl import deployment
from fwdctl.azure.clients import Clients
from fwdctl.azure.credential import Login
from fwdctl.errors import FwdctlError
from fwdctl.jump import boxes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwdctl.progress import Progress
    from fwdctl.runtime import Runtime
    from fwdlab.cli.client import LabClient
    from fwdlab.cli.setup import LabDeployment

DEPLOYMENT_SECONDS = 120.0
TOKEN_SECONDS = 600.0
"""After this time another token is asked for; the lab's live longer."""
POLL_SECONDS = 0.05


@contextlib.contextmanager
def azure_of(runtime: Runtime, client: LabClient) -> Iterator[Clients]:
    """A client of the lab's ARM endpoint.

    While it is open this process trusts the lab's authority and uses no proxy, as a shell does after
    `fwdctl lab env`: the library beneath reads both from the process environment.
    """
    variables, before = client.state.environment, dict(os.environ)
    login = Login(
        variables["AZURE_SUBSCRIPTION_ID"],
        client.state.base_url,
        lambda _claims: (client.control("POST", "/lab/token")["token"], time.time() + TOKEN_SECONDS),
    )
    os.environ.update(variables)
    try:
        yield Clients(login, runtime)
    finally:
        os.environ.clear()
        os.environ.update(before)


def deploy(runtime: Runtime, clients: Clients, plan: LabDeployment, progress: Progress) -> dict[str, Any]:
    """Deploy a template at subscription scope and wait for its end.

    Returns:
        The deployment's outputs, `{name: {"type", "value"}}`.

    Raises:
        FwdctlError: `deployment_failed`, `deployment_timeout`, or ARM refused the template.
    """
    path = f"/subscriptions/{clients.subscription_id}/providers/Microsoft.Resources/deployments/{plan.name}"

    def ask(method: str, what: str = "", body: Any = None) -> Any:
        return clients.request(method, path + what, body)

    properties = {"mode": "Incremental", "template": plan.template, "parameters": plan.parameters}
    ask("PUT", body={"location": plan.location, "properties": properties})
    deadline, told = runtime.clock() + DEPLOYMENT_SECONDS, set[str]()
    while runtime.clock() < deadline:
        properties = ask("GET")["properties"]
        for text in _created(ask("GET", "/operations")["value"]):
            if text not in told:
                told.add(text)
                progress.step(f"Deploying: {text}")
        if properties["provisioningState"] == "Succeeded":
            outputs: dict[str, Any] = properties.get("outputs", {})
            return outputs
        if properties["provisioningState"] in {"Failed", "Canceled"}:
            raise _failed(properties["error"])
        runtime.sleep(POLL_SECONDS)
    raise FwdctlError("deployment_timeout", f"The deployment did not end within {DEPLOYMENT_SECONDS:.0f} s.")


def _failed(error: dict[str, Any]) -> FwdctlError:
    """With the innermost error: those around it only say that there is one."""
    while error.get("details"):
        error = error["details"][0]
    text = f"The deployment failed: {error['message'].rstrip('.')} ({error['code']})."
    return FwdctlError("deployment_failed", text)


def _created(operations: list[dict[str, Any]]) -> list[str]:
    """Type and name of each resource that is there."""
    found = [operation["properties"] for operation in operations]
    targets = [each.get("targetResource") for each in found if each["provisioningState"] == "Succeeded"]
    return [f"{target['resourceType']} {target['resourceName']}" for target in targets if target]


def stop_boxes(runtime: Runtime, clients: Clients, outputs: dict[str, str], progress: Progress) -> None:
    """Stop the jump boxes that the outputs name, side by side, as the template's postprovision hook does."""
    found = deployment.read(deployment.Place(outputs, "outputs of the deployment"))
    if not found.boxes:
        return
    progress.step("Stopping the jump boxes")
    changes = boxes.stop(runtime, clients, found, found.boxes)
    stopped = [change.box.group for change in changes if change.outcome in {"stopped", "already stopped"}]
    if stopped:
        progress.done(f"Jump boxes stopped: {', '.join(stopped)}")
    for change in changes:
        if change.box.group not in stopped:
            progress.warning(f"{change.box.group} was not stopped: {change.outcome}. {change.detail}".strip())
