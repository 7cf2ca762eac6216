"""Key vaults with their access policies and secrets; soft deletion and recovery."""

from __future__ import annotations

import copy
import re
from datetime import timedelta
from typing import Any

from fwdlab.arm import clock
from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId, same
from fwdlab.arm.services.base import Provider, bad_request, of_type, with_properties
from fwdlab.arm.services.key_vault.deleted_vaults import DELETED_VAULT, DELETED_VAULTS, deleted_id, second
from fwdlab.arm.services.network.private_link_targets import PrivateLinkTarget, TargetConnections
from fwdlab.arm.services.shapes import Place, Shape, body, flag, items, normal, number, optional, text
from fwdlab.model import Resource

VAULT = "Microsoft.KeyVault/vaults"
_NAME = re.compile(r"(?!.*--)[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]")
_RETENTION_DAYS = 90
_SOFT_DELETE_HELP = "https://go.microsoft.com/fwlink/?linkid=2149745"
# A policy's permissions are required (azure-mgmt-keyvault, AccessPolicyEntry).
_POLICY = optional(
    tenantId=text(),
    objectId=text(),
    applicationId=text(),
    permissions=Shape(
        dict, required=True, code="LabInvalidAccessPolicy", message="An access policy has no permissions."
    ),
)


class Vaults(PrivateLinkTarget):
    type = VAULT
    carry = ("enableSoftDelete", "softDeleteRetentionInDays", "enablePurgeProtection")
    derived = ("createMode", "privateEndpointConnections")
    named_connections = False
    links = (("vault", "{name}.vault.azure.net"),)
    shape = body(
        sku=Shape(dict, {"family": "A", "name": "standard"}),
        tenantId=text(),
        accessPolicies=items(_POLICY, default=[]),
        enabledForDeployment=flag(default=False),
        enableSoftDelete=flag(default=True),
        enablePurgeProtection=flag(),
        softDeleteRetentionInDays=number(
            _RETENTION_DAYS,
            range(7, _RETENTION_DAYS + 1),
            code="BadRequest",
            message='The property "softDeleteRetentionInDays" must be from 7 to 90.',
        ),
        publicNetworkAccess=text("Enabled"),
    )

    def put(self, resource_id: ResourceId, sent: dict[str, Any]) -> Resource:
        """Create, change, or bring back a deleted one (`createMode: recover`)."""
        own = sent.get("properties")
        if isinstance(own, dict) and str(own.get("createMode")).lower() == "recover":
            return self._recover(resource_id, str(sent.get("location", "")))
        return super().put(resource_id, sent)

    def validate(self, _id: ResourceId, document: dict[str, Any]) -> None:
        """Nobody can opt out any more (azure-docs, key-vault/general/soft-delete-change)."""
        properties = document["properties"]
        if not properties["enableSoftDelete"]:
            raise _refused(
                'The property "enableSoftDelete" can be set to false only for creating new vault. Enabling '
                "the 'soft delete' functionality is an irreversible action."
            )
        if not properties.get("enablePurgeProtection", True):
            raise _refused(
                'The property "enablePurgeProtection" cannot be set to false. Enabling the purge protection '
                "for a vault is an irreversible action."
            )

    def complete(self, document: dict[str, Any], old: Resource | None) -> None:
        """Add the address; refuse what cannot be taken back, and a name that is taken."""
        properties = document["properties"]
        days = properties["softDeleteRetentionInDays"]
        if old is None:
            self._check_name(ResourceId.parse(document["id"]), document["location"])
        elif days != old.properties["softDeleteRetentionInDays"]:
            raise _refused(
                'The property "softDeleteRetentionInDays" has been set already and it can\'t be modified.'
            )
        properties.setdefault("tenantId", self.world.tenant_id)
        properties["vaultUri"] = f"https://{document['name'].lower()}.vault.azure.net/"

    def before_delete(self, resource_id: ResourceId) -> None:
        """Keep it, with what is below it, as deleted until it is purged."""
        vault = self.store.require(resource_id.text)
        kept = [vault, *self.below(vault.id)]
        now = clock.now()
        purge = now + timedelta(days=vault.properties["softDeleteRetentionInDays"])
        properties: dict[str, Any] = {
            "vaultId": vault.id,
            "location": vault.document["location"],
            "tags": dict(vault.document.get("tags", {})),
            "deletionDate": second(now),
            "scheduledPurgeDate": second(purge),
        }
        if vault.properties.get("enablePurgeProtection"):
            properties["purgeProtectionEnabled"] = True
        own = deleted_id(resource_id, vault.document["location"])
        document = {"id": own, "name": vault.name, "type": DELETED_VAULTS, "properties": properties}
        self.store.put(Resource(own, DELETED_VAULT, document, secrets={"resources": kept}))

    release = before_delete

    def _recover(self, resource_id: ResourceId, location: str) -> Resource:
        deleted = self.store.get(deleted_id(resource_id, location))
        if deleted is None or not same(deleted.properties["vaultId"], resource_id.text):
            raise bad_request(
                "SoftDeletedVaultDoesNotExist",
                "A soft deleted vault with the given name does not exist. Ensure that the name for the vault "
                "that is being attempted to recover is in a recoverable state. For more information on soft "
                f"delete please follow this link {_SOFT_DELETE_HELP}",
            )
        self.store.delete(deleted.id)
        for resource in deleted.secrets["resources"]:
            self.store.put(resource)
        return self.store.require(resource_id.text)

    def _check_name(self, own: ResourceId, location: str) -> None:
        name = own.name
        if not _NAME.fullmatch(name):
            raise bad_request(
                "VaultNameNotValid",
                f"The vault name '{name}' is invalid. A vault's name must be between 3-24 alphanumeric "
                "characters. The name must begin with a letter, end with a letter or digit, and not contain "
                "consecutive hyphens. Follow this link for more information: "
                "https://go.microsoft.com/fwlink/?linkid=2147742",
            )
        if self.store.get(deleted_id(own, location)) is not None:
            raise ArmError(
                409,
                "ConflictError",
                "A vault with the same name already exists in deleted state. You need to either recover or "
                f"purge existing key vault. Follow this link {_SOFT_DELETE_HELP} for more information on "
                "soft delete.",
            )
        taken = [*self.store.list(type=VAULT), *self.store.list(type=DELETED_VAULT)]
        if any(same(one.name, name) for one in taken):
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


def _refused(message: str) -> ArmError:
    return bad_request("BadRequest", message)


class AccessPolicies(Provider):
    """Named `add`, `replace` or `remove`: changes the vault's own list."""

    type = f"{VAULT}/accessPolicies"
    tracked = False

    def put(self, resource_id: ResourceId, sent: dict[str, Any]) -> Resource:
        """Merge by tenant and object; `add` lets a policy's permissions grow, `replace` sets them."""
        verb = resource_id.name.lower()
        if verb not in {"add", "replace", "remove"}:
            raise bad_request("BadRequest", f"'{resource_id.name}' is none of add, replace and remove.")
        shape = body(accessPolicies=items(optional() if verb == "remove" else _POLICY, default=[]))
        given = normal(shape, sent, Place(resource_id.text, self.type))["properties"]["accessPolicies"]
        vault = self.store.require(str(resource_id.parent))
        policies = {_key(policy): policy for policy in copy.deepcopy(vault.properties["accessPolicies"])}
        for policy in given:
            key = _key(policy)
            if verb == "remove":
                policies.pop(key, None)
            elif verb == "add" and key in policies:
                policies[key]["permissions"] = _union(policies[key]["permissions"], policy["permissions"])
            else:
                policies[key] = policy
        self.store.put(with_properties(vault, accessPolicies=list(policies.values())))
        return Resource(resource_id.text, self.type, self.get(resource_id))

    def get(self, resource_id: ResourceId) -> dict[str, Any]:
        """The vault's list, as the answer to a PUT shows it."""
        vault = self.store.require(str(resource_id.parent))
        return {
            "id": resource_id.text,
            "name": resource_id.name,
            "type": self.type,
            "properties": {"accessPolicies": copy.deepcopy(vault.properties["accessPolicies"])},
        }


def _key(policy: dict[str, Any]) -> tuple[str, ...]:
    """What the service tells policies apart by."""
    return tuple(str(policy.get(name, "")).lower() for name in ("tenantId", "objectId", "applicationId"))


def _union(one: dict[str, list[str]], other: dict[str, list[str]]) -> dict[str, list[str]]:
    return {
        kind: list(dict.fromkeys([*one.get(kind, []), *other.get(kind, [])])) for kind in {**one, **other}
    }


class Secrets(Provider):
    """The value is write-only here, as in ARM."""

    type = f"{VAULT}/secrets"
    tracked = False

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        vault, name = ResourceId.parse(document["id"]).names
        properties = document["properties"]
        value = properties.pop("value", None)
        properties["secretUri"] = f"https://{vault.lower()}.vault.azure.net/secrets/{name}"
        secret = super().build(document, old)
        if value is not None:
            secret.secrets["value"] = value
        return secret


PROVIDERS = (
    Vaults,
    AccessPolicies,
    Secrets,
    of_type(TargetConnections, f"{VAULT}/privateEndpointConnections"),
)
