"""An expanded template: its resources with names, ids and what they wait for."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.template.environment import Names
from fwdlab.arm.template.scopes import DEPLOYMENTS, absolute_id
from fwdlab.arm.template.values import ExpressionError, compact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwdlab.arm.template.environment import Environment, Frame
    from fwdlab.arm.template.evaluate import Evaluator
    from fwdlab.arm.template.request import DeploymentRequest
    from fwdlab.arm.template.scopes import Scope

_LARGEST = 1024 * 1024
_JSON = 8
"""Times what counts as a value's size: more than its JSON has, so that only large ones need be written."""
# What the engine reads from a resource; the rest is the body that its provider gets.
_ENGINE_KEYS = {
    "apiversion",
    "asserts",
    "comments",
    "condition",
    "copy",
    "dependson",
    "existing",
    "metadata",
    "name",
    "resourcegroup",
    "resources",
    "scope",
    "subscriptionid",
    "type",
}


@dataclass(frozen=True)
class ExpandedResource:
    """One resource, or one turn of a resource loop.

    Attributes:
        key: unique in the expansion: symbolic name or position, with `[index]` in a loop.
        symbol: symbolic name, empty in language version 1.0.
        loop: name of its loop, empty outside one.
        id: full ARM id.
        type: full type.
        name: as templates write it, `vnet/subnet` for a child.
        api_version: as the template says.
        scope: the subscription or group that it is deployed to.
        raw: its JSON, unevaluated.
        frame: where its expressions stand.
        existing: only read, never written.
        active: its condition holds.
    """

    key: str
    symbol: str
    loop: str
    id: str
    type: str
    name: str
    api_version: str
    scope: Scope
    raw: dict[str, Any]
    frame: Frame
    existing: bool = False
    active: bool = True

    @property
    def written(self) -> bool:
        return self.active and not self.existing

    @property
    def is_deployment(self) -> bool:
        return self.type.lower() == DEPLOYMENTS.lower()

    @property
    def info(self) -> dict[str, Any]:
        """What `resourceInfo()` gives."""
        name = self.name.rsplit("/", 1)[-1]
        return {"id": self.id, "name": name, "type": self.type, "apiVersion": self.api_version}

    @property
    def outer(self) -> bool:
        """Whether its template is evaluated in the scope of this one (the default of plain JSON)."""
        options = self.raw.get("properties", {}).get("expressionEvaluationOptions") or {}
        return str(options.get("scope", "outer")).lower() != "inner"

    @property
    def body(self) -> dict[str, Any]:
        """What its provider gets, unevaluated; of a deployment without the nested template."""
        body = {key: value for key, value in self.raw.items() if key.lower() not in _ENGINE_KEYS}
        if self.is_deployment and isinstance(body.get("properties"), dict):
            body["properties"] = {key: v for key, v in body["properties"].items() if key != "template"}
        return body


@dataclass(frozen=True)
class ResourceNames(Names):
    """Finds resources of an expansion by id, name, symbolic name or loop.

    Attributes:
        scope: what relative ids are completed with.
        above: the names of the template around an outer-scope nested one.
    """

    scope: Scope
    resources: dict[str, ExpandedResource]
    above: Names
    _by_name: dict[str, list[str]] = field(default_factory=dict)
    _by_id: dict[str, list[str]] = field(default_factory=dict)
    _loops: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, scope: Scope, resources: dict[str, ExpandedResource], loops: set[str], above: Names
    ) -> ResourceNames:
        """Index the resources; `loops` names every loop of the template, those without a turn too."""
        names = cls(scope, resources, above, _loops={loop.lower(): [] for loop in loops})
        by_symbol: dict[str, list[str]] = {}
        for key, resource in resources.items():
            for alias in {resource.name.lower(), f"{resource.type}/{resource.name}".lower()}:
                names._by_name.setdefault(alias, []).append(key)
            names._by_id.setdefault(resource.id.lower(), []).append(key)
            if resource.loop:
                names._loops.setdefault(resource.loop.lower(), []).append(key)
            if resource.loop and resource.symbol:
                by_symbol.setdefault(resource.symbol.lower(), []).append(key)
        # With symbolic names the symbol stands for the loop, before any loop's own name.
        names._loops.update(by_symbol)
        return names

    def key_of_id(self, resource_id: str) -> str | None:
        """The key of the resource with an id; of several the one whose condition holds."""
        keys = self._by_id.get(resource_id.lower(), [])
        chosen = sorted(keys, key=lambda key: (not self.resources[key].active, self.resources[key].existing))
        return chosen[0] if chosen else None

    def keys_of(self, text: str) -> list[str] | None:
        """The keys that an entry of `dependsOn` means; None when it means nothing in the template."""
        if text in self.resources:
            return [text]
        if text.lower() in self._loops:
            return self._loops[text.lower()]
        full = absolute_id(self.scope, text)
        if full is not None and full.lower() in self._by_id:
            return self._by_id[full.lower()]
        return self._by_name.get(text.lower())

    def resource(self, text: str) -> str:
        if text in self.resources:
            return self.resources[text].id
        full = absolute_id(self.scope, text)
        if full is not None:
            return full
        ids = {self.resources[key].id for key in self._by_name.get(text.lower(), [])}
        if len(ids) > 1:
            raise ExpressionError(f"The resource name '{text}' is not unique in the template; use its id")
        return ids.pop() if ids else self.above.resource(text)

    def loop(self, text: str) -> list[str]:
        if text.lower() in self._loops:
            return [self.resources[key].id for key in self._loops[text.lower()]]
        return self.above.loop(text)

    def info(self, text: str) -> dict[str, Any]:
        return self.resources[text].info if text in self.resources else self.above.info(text)


@dataclass(frozen=True)
class Expansion:
    """A deployment ready to run.

    Attributes:
        environment: with `names` of these resources.
        base: the frame that the template's own expressions start from.
        parameters: as the deployment document shows them.
        depends_on: keys of the resources that each resource waits for, by its own key.
        constant: evaluated bodies that ask for no resource, by key.
    """

    request: DeploymentRequest
    environment: Environment
    evaluator: Evaluator
    base: Frame
    names: ResourceNames
    parameters: dict[str, dict[str, Any]]
    depends_on: Mapping[str, frozenset[str]] = field(default_factory=dict)
    constant: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def resources(self) -> dict[str, ExpandedResource]:
        """Resources by key, in the template's order."""
        return self.names.resources

    def body(self, resource: ExpandedResource, frame: Frame) -> dict[str, Any]:
        """The body of a resource with its values; shared, so that it must not be changed.

        Raises:
            ArmError: `DeploymentJobSizeExceeded`, as it is too large even when it is compressed
                (azure-resource-manager/troubleshooting/error-job-size-exceeded).
            ExpressionError: it cannot be evaluated.
        """
        known = self.constant.get(resource.key)
        body: dict[str, Any] = self.evaluator.value(resource.body, frame) if known is None else known
        parts = [body, resource.raw["properties"].get("template")] if resource.is_deployment else [body]
        if sum(map(self.environment.budget.size, parts)) < _LARGEST // _JSON:
            return body
        text = compact(parts)
        size = len(zlib.compress(text.encode())) if len(text) > _LARGEST else 0
        if size > _LARGEST:
            raise ArmError(
                400,
                "DeploymentJobSizeExceeded",
                f"The definition of the resource '{resource.id}' has a size of '{size}' bytes after "
                f"compression. The limit is '{_LARGEST}'.",
            )
        return body
