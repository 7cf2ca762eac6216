"""Key vaults: the control plane alone, with soft deletion, recovery and purge. No secret can be read.

Shapes are those of the Azure CLI's recordings of the service (azure-cli, `keyvault/tests/latest/recordings`);
codes and texts of errors are the service's own, as its clients have printed them.
"""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId, same
from fwdlab.arm.operations import Operation, Outcome
from fwdlab.arm.services.base import Provider
from fwdlab.model import Resource

if TYPE_CHECKING:
    from fwdlab.arm.services.base import World

VAULT = "Microsoft.KeyVault/vaults"
DELETED_VAULT = "Microsoft.KeyVault/locations/deletedVaults"
DELETED_VAULTS = "Microsoft.KeyVault/deletedVaults"

_ENDPOINT = "Microsoft.Network/privateEndpoints"
_NAME = re.compile(r"(?!.*--)[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]")
_RETENTION_DAYS = (7, 90)
_SOFT_DELETE_HELP = "https://go.microsoft.com/fwlink/?linkid=2149745"


class Vaults(Provider):
    """`Microsoft.KeyVault/vaults`."""

    type = VAULT
    carry = ("enableSoftDelete", "softDeleteRetentionInDays", "enablePurgeProtection")

    def put(self, resource_id: ResourceId, body: dict[str, Any]) -> Resource:
        """Create, change, or bring back a deleted one (`createMode: recover`)."""
        if str(body.get("properties", {}).get("createMode", "")).lower() == "recover":
            return self._recover(resource_id, body)
        return super().put(resource_id, body)

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Add the defaults and the address; refuse what cannot be taken back, and a name that is taken."""
        if old is None:
            self._check_name(document)
        properties = document["properties"]
        properties.pop("createMode", None)
        properties.pop("privateEndpointConnections", None)
        _check_irreversible(properties, old)
        properties.setdefault("sku", {"family": "A", "name": "standard"})
        properties.setdefault("tenantId", self.world.tenant_id)
        _check_policies(properties.setdefault("accessPolicies", []))
        properties.setdefault("enabledForDeployment", False)
        properties.setdefault("enableSoftDelete", True)
        properties.setdefault("softDeleteRetentionInDays", _RETENTION_DAYS[1])
        properties.setdefault("publicNetworkAccess", "Enabled")
        properties["vaultUri"] = f"https://{document['name'].lower()}.vault.azure.net/"
        return self.resource(document, old)

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """Add the connections of private endpoints."""
        document = super().rendered(resource)
        connections = [
            {
                "id": f"{resource.id}/privateEndpointConnections/{endpoint.name}",
                "properties": {
                    "provisioningState": "Succeeded",
                    "privateEndpoint": {"id": endpoint.id},
                    "privateLinkServiceConnectionState": dict(
                        entry["properties"]["privateLinkServiceConnectionState"]
                    ),
                },
            }
            for endpoint in self.store.list(type=_ENDPOINT)
            for name in ("privateLinkServiceConnections", "manualPrivateLinkServiceConnections")
            for entry in endpoint.properties.get(name, [])
            if same(entry["properties"].get("privateLinkServiceId"), resource.id)
        ]
        if connections:
            document["properties"]["privateEndpointConnections"] = connections
        return document

    def before_delete(self, resource_id: ResourceId) -> None:
        """Keep it, with what is below it, as deleted until it is purged."""
        vault = self.store.require(resource_id.text)
        below = [r for r in self.store.list() if r.id.lower().startswith(resource_id.key + "/")]
        location = vault.document.get("location", "")
        now = datetime.now(UTC)
        properties: dict[str, Any] = {
            "vaultId": vault.id,
            "location": location,
            "tags": dict(vault.document.get("tags", {})),
            "deletionDate": _second(now),
            "scheduledPurgeDate": _second(
                now + timedelta(days=vault.properties["softDeleteRetentionInDays"])
            ),
        }
        if vault.properties.get("enablePurgeProtection"):
            properties["purgeProtectionEnabled"] = True
        own = _deleted_id(resource_id, location)
        document = {"id": own, "name": vault.name, "type": DELETED_VAULTS, "properties": properties}
        self.store.put(Resource(own, DELETED_VAULT, document, secrets={"resources": [vault, *below]}))

    def _recover(self, resource_id: ResourceId, body: dict[str, Any]) -> Resource:
        deleted = self.store.get(_deleted_id(resource_id, str(body.get("location", ""))))
        if deleted is None or not same(deleted.properties["vaultId"], resource_id.text):
            raise ArmError(
                400,
                "SoftDeletedVaultDoesNotExist",
                "A soft deleted vault with the given name does not exist. Ensure that the name for the vault "
                "that is being attempted to recover is in a recoverable state. For more information on soft "
                f"delete please follow this link {_SOFT_DELETE_HELP}",
            )
        self.store.delete(deleted.id)
        for resource in deleted.secrets["resources"]:
            self.store.put(resource)
        return self.store.require(resource_id.text)

    def _check_name(self, document: dict[str, Any]) -> None:
        name = document["name"]
        if not _NAME.fullmatch(name):
            raise ArmError(
                400,
                "VaultNameNotValid",
                f"The vault name '{name}' is invalid. A vault's name must be between 3-24 alphanumeric "
                "characters. The name must begin with a letter, end with a letter or digit, and not contain "
                "consecutive hyphens. Follow this link for more information: "
                "https://go.microsoft.com/fwlink/?linkid=2147742",
            )
        own = ResourceId.parse(document["id"])
        if self.store.get(_deleted_id(own, document.get("location", ""))) is not None:
            raise ArmError(
                409,
                "ConflictError",
                "A vault with the same name already exists in deleted state. You need to either recover or "
                f"purge existing key vault. Follow this link {_SOFT_DELETE_HELP} for more information on "
                "soft delete.",
            )
        taken = [*self.store.list(type=VAULT), *self.store.list(type=DELETED_VAULT)]
        if any(one.name.lower() == name.lower() for one in taken):
            raise ArmError(
                409,
                "VaultAlreadyExists",
                f"The vault name '{name}' is already in use. Vault names are globaly unique so it is "
                "possible that the name is already taken. If you are sure that the vault name was not taken "
                "then it is possible that a vault with the same name was recently deleted but not purged "
                "after being placed in a recoverable state. If the vault is in a recoverable state then the "
                "vault will need to be purged before reusing the name. For more information on soft delete "
                "and purging a vault follow this link https://go.microsoft.com/fwlink/?linkid=2147740.",
            )


class AccessPolicies(Provider):
    """`…/vaults/accessPolicies`, named `add`, `replace` or `remove`: changes the vault's own list."""

    type = f"{VAULT}/accessPolicies"
    tracked = False

    def put(self, resource_id: ResourceId, body: dict[str, Any]) -> Resource:
        """Merge by tenant and object; `add` lets a policy's permissions grow, `replace` sets them."""
        verb = resource_id.name.lower()
        if verb not in {"add", "replace", "remove"}:
            raise ArmError(400, "BadRequest", f"'{resource_id.name}' is none of add, replace and remove.")
        vault = self._vault(resource_id)
        policies = {_policy_key(policy): policy for policy in copy.deepcopy(_policies(vault))}
        sent = copy.deepcopy(body.get("properties", {}).get("accessPolicies", []))
        if verb != "remove":
            _check_policies(sent)
        for policy in sent:
            key = _policy_key(policy)
            if verb == "remove":
                policies.pop(key, None)
            elif verb == "add" and key in policies:
                policies[key]["permissions"] = _union(policies[key]["permissions"], policy["permissions"])
            else:
                policies[key] = policy
        properties = {**vault.properties, "accessPolicies": list(policies.values())}
        self.store.put(replace(vault, document={**vault.document, "properties": properties}))
        return Resource(resource_id.text, self.type, self.get(resource_id))

    def get(self, resource_id: ResourceId) -> dict[str, Any]:
        """The vault's list, as the answer to a PUT shows it."""
        policies = copy.deepcopy(_policies(self._vault(resource_id)))
        return {
            "id": resource_id.text,
            "name": resource_id.name,
            "type": self.type,
            "properties": {"accessPolicies": policies},
        }

    def _vault(self, resource_id: ResourceId) -> Resource:
        return self.store.require(resource_id.text.rsplit("/", 2)[0])


class VaultSecrets(Provider):
    """`…/vaults/secrets`: the value is write-only here, as in ARM."""

    type = f"{VAULT}/secrets"
    tracked = False

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Take the value out of the document."""
        resource = self.resource(document, old)
        value = document["properties"].pop("value", None)
        if value is not None:
            resource.secrets["value"] = value
        own = ResourceId.parse(document["id"])
        address = f"https://{own.names[0].lower()}.vault.azure.net/secrets/{own.name}"
        document["properties"]["secretUri"] = address
        return resource


class DeletedVault(Provider):
    """`…/locations/LOCATION/deletedVaults/NAME`."""

    type = DELETED_VAULT
    tracked = False

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.actions = {"purge": self._purge}

    def get(self, resource_id: ResourceId) -> dict[str, Any]:
        """What is known of the vault that was."""
        return self.rendered(self._require(resource_id))

    def put(self, resource_id: ResourceId, body: dict[str, Any]) -> NoReturn:
        """Not by hand."""
        del body
        raise ArmError(405, "MethodNotAllowed", f"{resource_id} cannot be written.")

    def delete(self, resource_id: ResourceId) -> NoReturn:
        """It is purged, not deleted."""
        raise ArmError(405, "MethodNotAllowed", f"{resource_id} cannot be deleted; it can be purged.")

    def _purge(self, resource_id: ResourceId, _body: Any) -> Outcome:
        vault = self._require(resource_id)
        if vault.properties.get("purgeProtectionEnabled"):
            raise ArmError(405, "MethodNotAllowed", "Operation 'DeletedVaultPurge' is not allowed.")
        self.store.delete(vault.id)
        operation = Operation(
            "location",
            f"{resource_id.text.rsplit('/', 2)[0]}/operationResults",
            retry_after=self.world.settings.retry_after,
        )
        now = _second(datetime.now(UTC)).replace("T", " ")
        operation.succeed({"createdDateTime": now, "lastActionDateTime": now, "status": "Succeeded"})
        return Outcome(202, None, operation)

    def _require(self, resource_id: ResourceId) -> Resource:
        found = self.store.get(resource_id.text)
        if found is None:
            raise ArmError(
                404,
                "DeletedVaultNotFound",
                f"The specified deleted vault '{resource_id.name}' does not exist.",
            )
        return found


class DeletedVaults(Provider):
    """`/subscriptions/ID/providers/Microsoft.KeyVault/deletedVaults`: the list of them, of all locations."""

    type = DELETED_VAULTS
    tracked = False

    def list(self, scope: ResourceId) -> list[dict[str, Any]]:
        """All of the subscription."""
        del scope
        return [self.rendered(vault) for vault in self.store.list(type=DELETED_VAULT)]

    def put(self, resource_id: ResourceId, body: dict[str, Any]) -> NoReturn:
        """It is a list only."""
        del body
        raise ArmError(405, "MethodNotAllowed", f"{resource_id} cannot be written.")


class ManagedHsms(Provider):
    """`Microsoft.KeyVault/managedHSMs`: there are none, which is what `az keyvault list` wants to hear."""

    type = "Microsoft.KeyVault/managedHSMs"
    tracked = False

    def put(self, resource_id: ResourceId, body: dict[str, Any]) -> NoReturn:
        """The lab has none."""
        del resource_id, body
        raise ArmError(
            400,
            "LabResourceTypeNotSupported",
            f"The lab has no resource type '{self.type}'.",
            target=self.type,
        )


class DeletedManagedHsms(ManagedHsms):
    """`…/Microsoft.KeyVault/deletedManagedHSMs`: asked for by `az keyvault list-deleted`."""

    type = "Microsoft.KeyVault/deletedManagedHSMs"


def _check_irreversible(properties: dict[str, Any], old: Resource | None) -> None:
    if properties.get("enableSoftDelete") is False:
        # Nobody can opt out any more (azure-docs, key-vault/general/soft-delete-change).
        raise _refused(
            'The property "enableSoftDelete" can be set to false only for creating new vault. Enabling the '
            "'soft delete' functionality is an irreversible action."
        )
    if properties.get("enablePurgeProtection") is False:
        raise _refused(
            'The property "enablePurgeProtection" cannot be set to false. Enabling the purge protection for '
            "a vault is an irreversible action."
        )
    days = properties.get("softDeleteRetentionInDays", _RETENTION_DAYS[1])
    low, high = _RETENTION_DAYS
    if not isinstance(days, int) or not low <= days <= high:
        raise _refused(f'The property "softDeleteRetentionInDays" must be from {low} to {high}.')
    if old is not None and days != old.properties["softDeleteRetentionInDays"]:
        raise _refused(
            'The property "softDeleteRetentionInDays" has been set already and it can\'t be modified.'
        )


def _refused(message: str) -> ArmError:
    return ArmError(400, "BadRequest", message)


def _deleted_id(vault: ResourceId, location: str) -> str:
    place = location.replace(" ", "").lower()
    return (
        f"/subscriptions/{vault.subscription}/providers/Microsoft.KeyVault/locations/{place}"
        f"/deletedVaults/{vault.name}"
    )


def _policies(vault: Resource) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = vault.properties["accessPolicies"]
    return found


def _check_policies(policies: list[dict[str, Any]]) -> None:
    """A policy's permissions are required (azure-mgmt-keyvault, AccessPolicyEntry)."""
    for policy in policies:
        if not isinstance(policy.get("permissions"), dict):
            who = policy.get("objectId")
            raise ArmError(400, "LabInvalidAccessPolicy", f"The access policy of '{who}' has no permissions.")


def _policy_key(policy: dict[str, Any]) -> tuple[str, str, str]:
    """What the service tells policies apart by."""
    return (
        str(policy.get("tenantId", "")).lower(),
        str(policy.get("objectId", "")).lower(),
        str(policy.get("applicationId", "")).lower(),
    )


def _union(one: dict[str, list[str]], other: dict[str, list[str]]) -> dict[str, list[str]]:
    return {
        kind: list(dict.fromkeys([*one.get(kind, []), *other.get(kind, [])])) for kind in {**one, **other}
    }


def _second(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
