"""What an operator changes in a lab by hand, and how a test takes it back."""

from __future__ import annotations

import copy
import shlex
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fwdctl.errors import ExitCode, FwdctlError
from support.programs import run

if TYPE_CHECKING:
    from support.programs import RunningLab

Document = dict[str, Any]


class Operator:
    """Requests to the lab's resource group; `undo` restores every document that was changed."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.group = lab.topology["resourceGroup"]
        subscription = lab.environ["AZURE_SUBSCRIPTION_ID"]
        self.base = f"/subscriptions/{subscription}/resourceGroups/{self.group}/providers/Microsoft.Network"
        self._before: dict[str, Document | None] = {}

    def get(self, path: str) -> Document:
        """The document of a resource, or the list of a collection, below Microsoft.Network."""
        found: Document = self.lab.arm("GET", f"{self.base}/{path}")
        return found

    def named(self, collection: str, part: str) -> Document:
        """The one resource of a collection whose name has a part."""
        (found,) = (each for each in self.get(collection)["value"] if part in each["name"])
        return dict(found)

    def put(self, path: str, properties: Document, **top: Any) -> Document:
        self.keep(path)
        body = {"location": "westeurope", **top, "properties": properties}
        made: Document = self.lab.arm("PUT", f"{self.base}/{path}", body)
        return made

    def delete(self, path: str) -> None:
        self.keep(path)
        self.lab.arm("DELETE", f"{self.base}/{path}")

    def change_subnet(self, network: str, subnet: str, **properties: Any) -> None:
        """Give a subnet other properties; None takes one away."""
        path = f"virtualNetworks/{self.named('virtualNetworks', network)['name']}/subnets/{subnet}"
        own = {**self.get(path)["properties"], **properties}
        self.put(path, {key: value for key, value in own.items() if value is not None})

    def shut(self, group: str, name: str, priority: int, **more: Any) -> None:
        """Add a rule that refuses everything to a security group, but for what `more` says."""
        rule = {
            "access": "Deny",
            "direction": "Inbound",
            "protocol": "*",
            "priority": priority,
            "sourceAddressPrefix": "*",
            "sourcePortRange": "*",
            "destinationAddressPrefix": "*",
            "destinationPortRange": "*",
        }
        self.put(f"networkSecurityGroups/{group}/securityRules/{name}", {**rule, **more})

    def keep(self, path: str) -> None:
        """Remember a document, for `undo`; needed where a command of a suggestion changes it."""
        path = path.partition("/securityRules/")[0]  # a group is restored as a whole, with what healed it
        if path not in self._before:
            self._before[path] = None
            with suppress(FwdctlError):
                self._before[path] = copy.deepcopy(self.get(path))

    def undo(self) -> None:
        """Bring back what was there, the latest change first; what gets in the way of that is removed."""
        self._remove_added()
        for path, document in reversed(self._before.items()):
            if document is not None:
                self.lab.arm("PUT", f"{self.base}/{path}", document)
        self._remove_added()  # what was in use until then
        self._before.clear()

    def _remove_added(self) -> None:
        for path, document in reversed(self._before.items()):
            with suppress(FwdctlError):
                self.lab.arm("DELETE", f"{self.base}/{path}") if document is None else None

    def probe(self, which: str = "spoke", *more: str, exit_code: int | None = None) -> dict[str, Document]:
        """The paths that a probe tells of, by label."""
        done = self.lab.fwdctl("probe", which, "--timeout", "2", "-o", "json", *more, expect=exit_code)
        assert done.json["data"] is not None, done.stdout + done.stderr
        return {path["path"]: path for path in done.json["data"]["paths"]}

    def until_broken(self, which: str = "spoke") -> None:
        """Wait until health probes have found out what has changed."""
        deadline = time.monotonic() + 60
        while self.lab.fwdctl("probe", which, "--timeout", "2", expect=None).returncode != ExitCode.BROKEN:
            assert time.monotonic() < deadline, "nothing broke"

    def until_healed(self, which: str = "spoke") -> None:
        """Wait until agents and health probes have found out that all is well again."""
        deadline = time.monotonic() + 90
        while (done := self.lab.fwdctl("probe", which, "--timeout", "2", expect=None)).returncode:
            assert time.monotonic() < deadline, done.stdout

    def follow(self, suggestion: str) -> None:
        """Type the commands of a suggestion, as they stand."""
        for line in suggestion.splitlines():
            words = shlex.split(line)
            assert words[0] == "az", line
            run(words, environ=self.lab.environ, cwd=self.lab.home, seconds=120)
