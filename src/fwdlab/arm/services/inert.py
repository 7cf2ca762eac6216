"""Storage accounts and event hub namespaces: where diagnostics go, and nothing in them; keys open nothing."""

from __future__ import annotations

import re
import uuid
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from fwdlab.arm.operations import Outcome, timestamp
from fwdlab.arm.services.base import Actions, Provider, bad_request, of_type
from fwdlab.arm.services.network.private_link_targets import PrivateLinkTarget, TargetConnections
from fwdlab.arm.services.shapes import Shape, body, flag, optional, text

if TYPE_CHECKING:
    from fwdlab.arm.ids import ResourceId
    from fwdlab.model import Resource

_STORAGE = "Microsoft.Storage/storageAccounts"
_EVENT_HUBS = "Microsoft.EventHub/namespaces"
_ENDPOINTS = ("blob", "dfs", "file", "queue", "table", "web")


class _Named(ABC, PrivateLinkTarget):
    """What has a name that the whole world shares.

    Attributes:
        names: what its name must match.
        refusal: the code and text of the answer to another one.
    """

    names: ClassVar[str]
    refusal: ClassVar[tuple[str, str]]

    def validate(self, resource_id: ResourceId, document: dict[str, Any]) -> None:
        if not re.fullmatch(self.names, resource_id.name):
            code, message = self.refusal
            raise bad_request(code, message.format(name=resource_id.name))
        super().validate(resource_id, document)

    def complete(self, document: dict[str, Any], old: Resource | None) -> None:
        made = old.properties if old is not None else {}
        for name, value in self.read_only(document).items():
            document["properties"][name] = made.get(name, value)

    @abstractmethod
    def read_only(self, document: dict[str, Any]) -> dict[str, Any]:
        """The properties that the service works out."""


class StorageAccounts(_Named):
    type = _STORAGE
    created = 200  # azure-mgmt-storage knows no 201
    links = tuple(
        (f"{each}{more}", f"{{name}}{more.replace('_', '-')}.{each}.core.windows.net")
        for more in ("", "_secondary")
        for each in _ENDPOINTS
    )
    names = "[a-z0-9]{3,24}"
    refusal = (
        "AccountNameInvalid",
        "{name} is not a valid storage account name: 3 to 24 numbers and lower-case letters.",
    )
    shape = body(
        {
            "kind": text(None, "StorageV2", "BlobStorage", "BlockBlobStorage", "FileStorage", "Storage"),
            "sku": optional(name=text("Standard_LRS"), tier=text("Standard")),
        },
        supportsHttpsTrafficOnly=flag(default=True),
        minimumTlsVersion=text("TLS1_2"),
        allowBlobPublicAccess=flag(default=False),
        publicNetworkAccess=text(),
        networkAcls=Shape(dict, {"bypass": "AzureServices", "defaultAction": "Allow"}),
        accessTier=text("Hot"),
    )

    @cached_property
    def actions(self) -> Actions:
        def keys(resource_id: ResourceId, _body: Any) -> Outcome:
            self.store.require(resource_id.text)
            made = [
                {"keyName": name, "value": f"{_key(resource_id, name)}==", "permissions": "FULL"}
                for name in ("key1", "key2")
            ]
            return Outcome(200, {"keys": made})

        return {"listkeys": keys}

    def read_only(self, document: dict[str, Any]) -> dict[str, Any]:
        name = document["name"]
        return {
            "primaryEndpoints": {each: f"https://{name}.{each}.core.windows.net/" for each in _ENDPOINTS},
            "primaryLocation": document["location"],
            "statusOfPrimary": "available",
            "creationTime": timestamp(),
        }


class EventHubNamespaces(_Named):
    type = _EVENT_HUBS
    links = (("namespace", "{name}.servicebus.windows.net"),)
    names = "[A-Za-z][A-Za-z0-9-]{4,48}[A-Za-z0-9]"
    refusal = ("BadRequest", "{name} is not a valid name of an event hub namespace.")
    shape = body(
        {"sku": Shape(dict, {"name": "Standard", "tier": "Standard", "capacity": 1})},
        disableLocalAuth=flag(default=False),
        publicNetworkAccess=text("Enabled"),
        minimumTlsVersion=text("1.2"),
    )

    def read_only(self, document: dict[str, Any]) -> dict[str, Any]:
        now, name = timestamp(), document["name"].lower()
        return {
            "serviceBusEndpoint": f"https://{name}.servicebus.windows.net:443/",
            "status": "Active",
            "createdAt": now,
            "updatedAt": now,
        }


class AuthorizationRules(Provider):
    """Of a namespace or of an event hub."""

    tracked = False
    has_state = False

    @cached_property
    def actions(self) -> Actions:
        def keys(resource_id: ResourceId, _body: Any) -> Outcome:
            self.store.require(resource_id.text)
            host = f"sb://{resource_id.names[0].lower()}.servicebus.windows.net/"
            made: dict[str, str] = {"keyName": resource_id.name}
            for word in ("primary", "secondary"):
                key = f"{_key(resource_id, word)}="
                made[f"{word}Key"] = key
                made[f"{word}ConnectionString"] = (
                    f"Endpoint={host};SharedAccessKeyName={resource_id.name};SharedAccessKey={key}"
                )
            return Outcome(200, made)

        return {"listkeys": keys}


def _key(resource_id: ResourceId, word: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{resource_id.key}/{word}").hex


PROVIDERS = (
    StorageAccounts,
    EventHubNamespaces,
    *(of_type(TargetConnections, f"{kind}/privateEndpointConnections") for kind in (_STORAGE, _EVENT_HUBS)),
    *(
        of_type(Provider, f"{_STORAGE}/{kind}", tracked=False, has_state=False)
        for kind in (
            *("blobServices", "blobServices/containers", "fileServices", "fileServices/shares"),
            *("queueServices", "tableServices", "managementPolicies"),
        )
    ),
    *(
        of_type(Provider, f"{_EVENT_HUBS}/{kind}", tracked=False, has_state=False)
        for kind in ("eventhubs", "eventhubs/consumergroups", "networkRuleSets")
    ),
    *(of_type(AuthorizationRules, f"{_EVENT_HUBS}/{kind}authorizationRules") for kind in ("", "eventhubs/")),
)
