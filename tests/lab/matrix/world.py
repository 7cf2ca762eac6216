"""A lab in which an operator types, and which can be brought back to what it was."""

from __future__ import annotations

import base64
import json
import re
import shlex
import time
from contextlib import contextmanager, suppress
from string import Template
from typing import TYPE_CHECKING, Any

from conftest import ROOT
from fwdctl.azure.errors import ArmFailure
from fwdctl.errors import FwdctlError
from fwdctl.runtime import Runtime
from fwdlab.cli.deploy import azure_of
from fwdlab.cli.health import wait_until_healthy
from fwdlab.cli.labs import client_of
from support.programs import FWDCTL, Done, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwdctl.azure.clients import Clients
    from support.programs import RunningLab

Document = dict[str, Any]
NETWORK, COMPUTE = "Microsoft.Network", "Microsoft.Compute"
KINDS = (
    *(
        f"{NETWORK}/{kind}"
        for kind in ("networkSecurityGroups", "routeTables", "virtualNetworks", "loadBalancers")
    ),
    *(f"{NETWORK}/{kind}" for kind in ("privateLinkServices", "privateEndpoints", "privateDnsZones")),
    *(f"{COMPUTE}/{kind}" for kind in ("virtualMachines", "virtualMachineScaleSets")),
    "Microsoft.ContainerInstance/containerGroups",
)
BELOW = {
    f"{NETWORK}/privateDnsZones": ("A", "AAAA", "CNAME", "virtualNetworkLinks"),
}
VOLATILE = {
    "backendIPConfigurations",
    "instanceView",
    "ipAddress",
    "etag",
    "resourceGuid",
    "timeCreated",
    "provisioningState",
    "numberOfRecordSets",
    "linkIdentifier",
    "vmId",
}
"""Differ each time that a resource is written or made."""
GUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PATIENCE = 60.0
ROLLOUT = 400.0
"""Seconds that a rollout of three forwarders may take on a loaded machine."""


class World:
    """A deployed lab. `restore` brings back every document, and health."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        runtime = Runtime(environ=lab.base)
        self._runtime, self._client = runtime, client_of(lab.name, runtime)
        self._subscription = f"/subscriptions/{lab.environ['AZURE_SUBSCRIPTION_ID']}"
        self._scale_set = lab.topology["hub"]["scaleSet"]
        self._group = f"{self._subscription}/resourceGroups/{lab.topology['resourceGroup']}"
        self._before = self.documents()
        with self._azure() as arm:
            model = self._get(arm, f"{COMPUTE}/virtualMachineScaleSets/{self._scale_set}", expand="userData")
        self._own = base64.b64decode(model["properties"]["virtualMachineProfile"]["userData"]).decode()

    # -- what an operator types

    def type(self, line: str) -> Done | None:
        """Run a command as it stands; None for one that a terminal or an azd project would be needed for."""
        variables = self._variables() if "$" in line else {}
        program, *words = (Template(word).safe_substitute(variables) for word in shlex.split(line))
        if program == "az":
            return run(["az", *words], environ=self.lab.environ, cwd=self.lab.home, seconds=120, expect=None)
        if line == "azd provision --no-state":
            self.provision()
            return Done(0, "", "")
        if program != "fwdctl" or words[:2] == ["jump", "shell"]:
            return None
        if words[0] == "lab":
            return self.lab.lab(*words[1:], expect=None)
        environ, home = self.lab.environ, self.lab.home
        return run([*FWDCTL, *words], environ=environ, cwd=home, seconds=ROLLOUT, expect=None)

    def _variables(self) -> dict[str, str]:
        environ = self.lab.environ
        with self._azure() as arm:
            service = self._get(arm, f"{NETWORK}/privateLinkServices/pl-{environ['RESOURCE_TOKEN']}")
            instances = self._get(
                arm, f"{COMPUTE}/virtualMachineScaleSets/{self._scale_set}/virtualMachines"
            )["value"]
        connections = service["properties"]["privateEndpointConnections"]
        instance = instances[0] if instances else {}
        return {
            "RG": environ["RESOURCE_GROUP_NAME"],
            "TOKEN": environ["RESOURCE_TOKEN"],
            "INSTANCE": instance.get("instanceId", ""),
            "NODE": instance.get("properties", {}).get("osProfile", {}).get("computerName", ""),
            "CONNECTION": connections[0]["id"] if connections else "",
            "SERVICE": service["id"],
            "SHARED": service["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"],
            "OWN": self._own,
            "OTHER": _with(self._own, targets=1, hash="other"),
            "DRAINED": _with(self._own, drain=True),
        }

    def provision(self) -> None:
        """Deploy again what was deployed, and stop the boxes: what `azd provision --no-state` does."""
        path = f"{self._subscription}/providers/Microsoft.Resources/deployments"
        with self._azure() as arm:
            done = arm.request("GET", f"{path}/lab-1")
            given = {
                name: {"value": each["value"]} for name, each in done["properties"]["parameters"].items()
            }
            template = json.loads((ROOT / "infra" / "main.json").read_text("utf-8"))
            properties = {"mode": "Incremental", "template": template, "parameters": given}
            body = {"location": done["location"], "properties": properties}
            arm.request("PUT", f"{path}/lab-1", body)
            deadline = time.monotonic() + PATIENCE
            while (state := arm.request("GET", f"{path}/lab-1")["properties"])["provisioningState"] != "Succeeded":  # fmt: skip
                assert state["provisioningState"] != "Failed", state.get("error")
                assert time.monotonic() < deadline, state
                time.sleep(0.05)
        self.lab.fwdctl("jump", "stop", "all")

    # -- how a test takes it back

    def restore(self) -> None:
        """End faults of the lab, bring back documents, start what was on; then wait for health."""
        self.heal()
        if not _same(self.documents(), self._before):
            self._remove_new("/privatednszones/", "/privateendpoints/")  # they keep others from coming back
            self.provision()
            self._remove_new("")
        self._start()
        self.lab.fwdctl("jump", "stop", "all")
        assert wait_until_healthy(self._runtime, self._client, PATIENCE), (
            "the lab does not become healthy again"
        )
        after = self.documents()
        differing = {
            key for key in {*after, *self._before} if not _same(after.get(key), self._before.get(key))
        }
        assert not differing, differing

    def back_to(self, before: dict[str, Document]) -> None:
        """Bring back documents only, one after the other."""
        now = self.documents()
        with self._azure() as arm:
            in_use = []
            for each in [now[key]["id"] for key in now if key not in before]:
                try:
                    arm.request("DELETE", each)
                except ArmFailure:
                    in_use.append(each)
            for key, document in before.items():
                # The link service follows its endpoints.
                if not _same(now.get(key), document) and "/privatelinkservices/" not in key:
                    arm.request("PUT", document["id"], document)
            for each in in_use:
                arm.request("DELETE", each)

    def heal(self, fault: str | None = None) -> None:
        """End one fault of the lab, or all; unlike `fwdctl lab heal`, without waiting for health."""
        self._client.control("POST", "/lab/heal", {"name": fault}, seconds=60)

    def _remove_new(self, *parts: str) -> None:
        """Delete what was not there, so far as its id has one of some parts, and an endpoint that is another now."""
        now = self.documents()
        wrong = [key for key in now if key not in self._before and any(part in key for part in parts)]
        wrong += [k for k in now if "/privateendpoints/" in k and not _same(now[k], self._before.get(k))]
        with self._azure() as arm:
            for key in sorted(wrong, key=len, reverse=True):
                with suppress(FwdctlError):
                    arm.request("DELETE", now[key]["id"])

    def _start(self) -> None:
        """Let scale set and servers be on."""
        with self._azure() as arm:
            for key, document in self._before.items():
                if "/microsoft.compute/" in key:
                    arm.request("POST", f"{document['id']}/start")

    def documents(self) -> dict[str, Document]:
        """What is deployed, by id in lower case, without what differs from time to time."""
        found: list[Document] = []
        with self._azure() as arm:
            for kind in KINDS:
                for document in self._get(arm, kind)["value"]:
                    found.append(document)
                    for child in BELOW.get(kind, ()):
                        name = f"{kind}/{document['name']}/{child}"
                        found += self._get(arm, name)["value"]
        return {document["id"].lower(): _settled(document) for document in found}

    @contextmanager
    def _azure(self) -> Iterator[Clients]:
        with azure_of(self._runtime, self._client) as arm:
            yield arm

    def _get(self, arm: Clients, path: str, *, expand: str = "") -> Document:
        found: Document = arm.request(
            "GET", f"{self._group}/providers/{path}{f'?$expand={expand}' if expand else ''}"
        )
        return found


def _settled(document: Any) -> Any:
    """A document without what differs each time that it is written."""
    if isinstance(document, dict):
        return {
            key: _settled(value)
            for key, value in document.items()
            if key not in VOLATILE and not (key == "ipConfigurations" and _are_references(value))
        }
    return [_settled(each) for each in document] if isinstance(document, list) else document


def _are_references(value: list[Document]) -> bool:
    """Whether a subnet lists who is in it, which changes with the scale set's instances."""
    return all(set(each) == {"id"} for each in value)


def _same(one: Any, other: Any) -> bool:
    """Whether two documents are the same but for the ids that Azure makes up."""
    one, other = (GUID.sub("", json.dumps(each, sort_keys=True)) for each in (one, other))
    return bool(one == other)


def _with(user_data: str, *, targets: int | None = None, **more: Any) -> str:
    """User data with fewer targets of each forward, and other entries."""
    document = json.loads(user_data)
    forwards = [{**each, "targets": each["targets"][:targets]} for each in document["forwards"]]
    return json.dumps({**document, "forwards": forwards, **more})
