"""What ARM answers beside resources: subscriptions, tenants, locations, providers, listings across types."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.http import Answer
from fwdlab.arm.ids import API_VERSION, GROUP_TYPE, ResourceId, same
from fwdlab.arm.locations import location_documents, regions
from fwdlab.arm.services.resources.filters import matches, parse_filter
from fwdlab.arm.store import group_not_found, subscription_not_found

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi
    from fwdlab.arm.http import ArmRequest
    from fwdlab.clients.credentials import Tenant

# az asks Microsoft Graph for the names of principals; the lab's directory has nobody in it.
_NOBODY = {f"/v1.0/{one}" for one in ("directoryobjects/getbyids", "serviceprincipals", "users", "groups")}
_TENANT_NAME = "fwdctl lab"
_LISTED = ("id", "name", "type", "location", "tags", "sku", "kind", "zones", "identity", "managedBy")


class Directory:
    def __init__(self, api: ArmApi) -> None:
        self.api = api

    def handle(self, request: ArmRequest) -> Answer | None:
        """Answer, or None when the path is none of these."""
        path = request.path.rstrip("/").lower()
        if path == "/subscriptions":
            own = self._tenant_of(request).subscriptions
            return _total([self._subscription_document(each) for each in own])
        if path == "/tenants":
            return _total([_tenant_document(self._tenant_of(request).tenant_id)])
        if path in _NOBODY:
            return Answer(200, {"value": []})
        if path.startswith("/providers"):
            return self._providers(path.split("/")[2:], request.method)
        parts = path.strip("/").split("/")
        if parts[0] != "subscriptions" or len(parts) < 2:  # noqa: PLR2004 - /subscriptions/ID
            return None
        tenant = self.api.world.tenant_of(parts[1])
        if tenant is None:
            raise subscription_not_found(parts[1])
        known = {each.lower(): each for each in tenant.subscriptions}
        return self._below_subscription(known[parts[1]], parts[2:], request)

    def _tenant_of(self, request: ArmRequest) -> Tenant:
        tenants = self.api.world.tenants
        return next((each for each in tenants if each.tenant_id == request.tenant), tenants[0])

    def _below_subscription(self, subscription: str, parts: list[str], request: ArmRequest) -> Answer | None:
        if not parts:
            return Answer(200, self._subscription_document(subscription))
        if parts == ["locations"]:
            return Answer(200, {"value": location_documents(subscription)})
        if parts[0] == "providers" and parts[2:] == ["checknameavailability"]:
            return self._name_answer(parts[1], request.body)
        if parts[:3] == ["providers", "microsoft.compute", "locations"] and "versions" in parts[-2:]:
            return self._versions(request.path.rstrip("/"))
        if parts[0] == "providers" and (found := self._providers(parts[1:], request.method)) is not None:
            return found
        below = f"/subscriptions/{subscription}"
        return self._listing(below, parts, request) if request.method == "GET" else None

    def _versions(self, path: str) -> Answer:
        """Versions of a publisher's image or extension, and one of them: the lab knows none and takes all."""
        above, _, version = path.rpartition("/versions")
        document = {"location": above.split("/")[6], "name": version[1:] or self.api.settings.newest_image}
        document["id"] = f"{above}/versions/{document['name']}"
        if not version:
            return Answer(200, [document])
        system = "Windows" if "/publishers/microsoftwindows" in above.lower() else "Linux"
        shown = {"osDiskImage": {"operatingSystem": system}, "dataDiskImages": [], "hyperVGeneration": "V2"}
        return Answer(200, {**document, "properties": {**shown, "architecture": "x64"}})

    def _name_answer(self, namespace: str, body: Any) -> Answer:
        """Whether a name that the whole world shares is free."""
        sent = {name.lower(): value for name, value in body.items()} if isinstance(body, dict) else {}
        wanted = str(sent.get("name")).lower()
        kinds = [one.type for one in self.api.store.list() if one.name.lower() == wanted]
        if not any(kind.lower().startswith(f"{namespace}/") for kind in kinds):
            return Answer(200, {"nameAvailable": True})
        message = f"The name {wanted} is already taken."
        return Answer(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": message})

    def _listing(self, below: str, parts: list[str], request: ArmRequest) -> Answer | None:
        conditions = request.query.get("$filter", "")
        found: list[dict[str, Any]] | None = None
        if parts == ["resourcegroups"]:
            found = self._groups(below, conditions)
        elif parts == ["resources"]:
            found = self._resources(below, request)
        elif parts == ["tagnames"]:
            found = []
        elif parts[0] == "resourcegroups" and parts[2:] == ["resources"]:
            name = request.path.split("/")[4]
            within = f"{below}/resourceGroups/{name}"
            if self.api.store.get(within) is None:
                raise group_not_found(name)
            found = self._resources(within, request)
        elif parts[-3:] == ["providers", "microsoft.authorization", "permissions"]:
            found = [{"actions": ["*"], "notActions": [], "dataActions": ["*"], "notDataActions": []}]
        elif parts[-3:] == ["providers", "microsoft.authorization", "roledefinitions"]:
            found = self._roles(below, conditions)
        return Answer(200, {"value": found}) if found is not None else None

    def _subscription_document(self, subscription: str) -> dict[str, Any]:
        tenant = self.api.world.tenant_of(subscription)
        assert tenant is not None  # noqa: S101 - it was looked up before
        return {
            "id": f"/subscriptions/{subscription}",
            "subscriptionId": subscription,
            "tenantId": tenant.tenant_id,
            "displayName": tenant.subscriptions[subscription],
            "state": "Enabled",
            "managedByTenants": [],
            "authorizationSource": "RoleBased",
            "subscriptionPolicies": {
                "locationPlacementId": "Internal_2014-09-01",
                "quotaId": "Internal_2014-09-01",
                "spendingLimit": "Off",
            },
        }

    def _roles(self, below: str, conditions: str) -> list[dict[str, Any]]:
        """Role definitions of a subscription, all or those of one name."""
        scope = ResourceId.parse(below)
        roles = self.api.world.provider("Microsoft.Authorization/roleDefinitions").list(scope)
        wanted = re.search(r"roleName eq '(.*)'", conditions)
        return [one for one in roles if wanted is None or same(one["properties"].get("roleName"), wanted[1])]

    def _groups(self, within: str, text: str) -> list[dict[str, Any]]:
        conditions = parse_filter(text)
        groups = self.api.store.list(type=GROUP_TYPE, within=within)
        found = [copy.deepcopy(group.document) for group in groups]
        return [document for document in found if matches(document, conditions)]

    def _resources(self, within: str, request: ArmRequest) -> list[dict[str, Any]]:
        """Top-level tracked resources, each with the four fields without which azd crashes."""
        conditions = parse_filter(request.query.get("$filter", ""))
        expanded = request.query.get("$expand", "").split(",")
        found: list[dict[str, Any]] = []
        for resource in self.api.store.list(within=within):
            if not self._is_listed(resource.type):
                continue
            document = {key: resource.document[key] for key in _LISTED if key in resource.document}
            if "createdTime" in expanded:
                document["createdTime"] = self.api.store.created(resource.id)
            if "location" in document and matches(document, conditions):
                found.append(copy.deepcopy(document))
        return found

    def _is_listed(self, kind: str) -> bool:
        """Tracked: top-level types, and the children that have a location (zone links, extensions)."""
        provider = self.api.world.providers.get(kind.lower())
        return kind != GROUP_TYPE and provider is not None and provider.tracked

    def _providers(self, parts: list[str], method: str) -> Answer | None:
        """Namespaces, or one of them, or its registration; None where the path is of something else."""
        registering = len(parts) == 2 and parts[1] in {"register", "unregister"} and method == "POST"  # noqa: PLR2004
        if len(parts) > 1 and not registering:
            return None
        namespaces: dict[str, list[str]] = {}
        for kind in (*self.api.resource_types, "Microsoft.Resources/deployments"):
            namespace, _, rest = kind.partition("/")
            namespaces.setdefault(namespace, []).append(rest)
        documents = {
            name.lower(): self._provider_document(name, kinds) for name, kinds in sorted(namespaces.items())
        }
        if not parts:
            return Answer(200, {"value": list(documents.values())})
        known = documents.get(parts[0])
        if known is None:
            raise ArmError(
                404, "InvalidResourceNamespace", f"The resource namespace '{parts[0]}' is invalid in the lab."
            )
        return Answer(200, known)

    def _provider_document(self, namespace: str, kinds: list[str]) -> dict[str, Any]:
        places = [row["displayName"] for row in regions().values()]
        return {
            "id": f"/subscriptions/{self.api.subscription_id}/providers/{namespace}",
            "namespace": namespace,
            "registrationState": "Registered",
            "registrationPolicy": "RegistrationRequired",
            "resourceTypes": [
                {
                    "resourceType": kind,
                    "locations": ["global"] if "DnsZones" in kind else places,
                    "apiVersions": [API_VERSION],
                    "defaultApiVersion": API_VERSION,
                    "capabilities": "SupportsTags, SupportsLocation",
                }
                for kind in kinds
            ],
        }


def _total(found: list[dict[str, Any]]) -> Answer:
    return Answer(200, {"value": found, "count": {"type": "Total", "value": len(found)}})


def _tenant_document(tenant: str) -> dict[str, Any]:
    return {
        "id": f"/tenants/{tenant}",
        "tenantId": tenant,
        "displayName": _TENANT_NAME,
        "defaultDomain": "lab.invalid",
        "tenantCategory": "Home",
    }
