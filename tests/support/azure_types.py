"""Azure's own published types, as they lie beside the Bicep compiler: what may stand in a document."""

from __future__ import annotations

import gzip
import json
import os
import re
import zipfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ_ONLY, _WRITE_ONLY = 2, 4
# Of this type clients use the preview: the only stable version is of 2016.
_VERSIONS = {"microsoft.insights/diagnosticsettings": "2021-05-01-preview"}
_KINDS: dict[str, type] = {"s": str, "l": str, "b": bool, "i": int}

# Read-only properties that the types know and the lab does not answer, as `type path`, and why not.
NOT_ANSWERED = {
    r"\S+ (apiVersion|systemData)": "stands in templates, or in answers of some types and versions only",
    r"\S+ .*(subnet|subnets\[\]|networkSecurityGroup|privateEndpoint|privateLinkService|networkInterfaces\[\]|"
    r"publicIPAddress|ipConfiguration|Pools\[\]|FrontendIpConfigurations\[\]|backendIPConfigurations\[\])\.(etag|type|name)": "only a "
    "reference, of which the service answers the id",
    r"\S+ .*(flowLogs|dscpConfiguration|internalDomainNameSuffix|internalFqdn|purpose|NavigationLinks|"
    r"AssociationLinks|ConfigurationProfiles|upgradedToV2|defaultPublicNatGateway|VirtualNetworkEncryption|"
    r"privateLinkConnectionProperties|privateLinkScopedResources|lastSkuUpdate|internalId)": "of features "
    "that the lab does not have",
    r"Microsoft.Compute/\S+ (managedBy|resources|properties\.(instanceView(\.\w+)?|virtualMachineResourceId)|"
    r".*timeCreated|.*exactVersion|.*extensions\[\].*)": "nobody has asked for it",
    r"\S+/networkInterfaces (location|extendedLocation|tags|properties\.(macAddress|resourceGuid|privateEndpoint|"
    r"hostedWorkloads|tapConfigurations|vnetEncryptionSupported|defaultOutboundConnectivityEnabled)|"
    r".*ipConfigurations\[\]\.(etag|properties\.provisioningState))": "an instance's interface; nobody asked",
    r".*networkInterfaces(\[\]\.| )properties\.(virtualMachine|privateEndpoint)": "there is none",
    r"\S+/containerGroups .*(exitCode|finishTime|previousState|fqdn)": "only after an end, or with a label",
    r"\S+/loadBalancers .*(inboundNat|outboundRule)\w*": "there is none",
    r".*(networkSecurityGroups?|routeTables|natGateways)(\.| )properties\.(subnets|networkInterfaces)": "there is none",
    r"\S+ .*(ipConfiguration|subnets\[\]\.properties\.ipConfigurations)": "nobody is in it",
    r"\S+/privateEndpointConnections etag": "part of the link service, whose etag counts",
    r"\S+ .*(privateEndpoints|ipConfigurations\[\]\.type|connections\[\]\.etag|"
    r"Connections\[\]\.etag|virtualNetworkPeerings\[\]\.properties\.resourceGuid|ipConfigurations\[\]\.etag)": "who uses "
    "a part stands with the user in the lab",
    r"\S+/virtualMachineScaleSets/virtualMachines zones": "of a scale set without zones",
    r"\S+/storageAccounts properties\.\S+": "only a record in the lab",
    r"Microsoft.KeyVault/vaults properties\.hsmPoolResourceId": "of vaults in a pool only",
    r"\S+/workspaces properties\.(createdDate|modifiedDate)": "only a record in the lab",
}


def explained(missing: str) -> bool:
    """Whether a property that is not answered, `type path`, stands in the table."""
    return any(re.fullmatch(pattern, missing) for pattern in NOT_ANSWERED)


def folder() -> Path | None:
    """Where the types are: beside the compiler that `AZD_BICEP_TOOL_PATH` names, or beside the project."""
    compiler = os.environ.get("AZD_BICEP_TOOL_PATH", "")
    places = [Path(compiler).parent, ROOT.parent / "shared" / "tools" / "bicep"]
    return next((place / "types" for place in places if (place / "types" / "index.json.gz").exists()), None)


class AzureTypes:
    """Judges documents by the newest stable version of their type."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._rows: dict[str, list[Any]] = {}

    @cached_property
    def _index(self) -> dict[str, Any]:
        with gzip.open(self._place / "index.json.gz") as file:
            return dict(json.load(file))

    def faults(self, document: dict[str, Any]) -> list[str]:
        """What the type does not know, of another kind, or outside its values; empty for an unknown type."""
        found = self._find(document["type"])
        return list(_faults(*found, document, "")) if found is not None else []

    def missing(self, document: dict[str, Any]) -> set[str]:
        """Read-only properties that the type has and the document has not, lists' items as `[]`."""
        found = self._find(document["type"])
        return set(_missing(*found, document, "")) if found is not None else set()

    def names(self, kind: str) -> dict[str, str]:
        """Every property's name in a type, at any depth, and its group in `published.json`."""
        found = self._find(kind)
        groups: dict[str, set[str]] = {}
        if found is not None:
            _collect(*found, groups, set())
        return {name: _group(seen) for name, seen in groups.items()}

    def sample(self, kind: str) -> dict[str, Any]:
        """A body with every property of a type that clients may write, numbers and flags as strings."""
        found = self._find(kind)
        return dict(_sample(*found, ())) if found is not None else {}

    def _find(self, kind: str) -> tuple[list[Any], list[Any]] | None:
        entry = self._index.get(kind.lower())
        if entry is None:
            return None
        stable = [version for version in entry if version and not version.endswith("preview")]
        file, position = entry[_VERSIONS.get(kind.lower()) or max(stable)]
        key = f"{entry[''][1]}/{file}"
        if key not in self._rows:
            with zipfile.ZipFile(self._place / f"{entry[''][1]}.zip") as archive:
                self._rows[key] = json.loads(archive.read(file))
        rows = self._rows[key]
        return rows, rows[rows[position][2]]


def _properties(rows: list[Any], row: list[Any], value: dict[str, Any]) -> dict[str, Any]:
    if row[0] == "d":  # by the value of one of its properties
        chosen = row[4].get(value.get(row[2]))
        return {**row[3], **(rows[chosen][2] if chosen is not None else {})}
    return dict(row[2])


def _sample(rows: list[Any], row: list[Any], above: tuple[int, ...]) -> Any:
    """Types that contain themselves end where they begin again."""
    if row[0] == "a":
        return [_sample(rows, rows[row[1]], above)]
    if row[0] == "u":
        return _sample(rows, rows[row[1][0]], above)
    if row[0] not in {"o", "d"} or id(row) in above:
        return {"i": "7", "b": "True", "o": {}, "d": {}}.get(row[0], "x")
    known = dict(row[2] if row[0] == "o" else row[3])
    if row[0] == "d":
        known |= {name: one for place in row[4].values() for name, one in rows[place][2].items()}
    written = {name: inner for name, (inner, bits) in known.items() if not bits & _READ_ONLY}
    made = {name: _sample(rows, rows[inner], (*above, id(row))) for name, inner in written.items()}
    return made or {"ofTheClient": "x"}


def _collect(rows: list[Any], row: list[Any], groups: dict[str, set[str]], seen: set[int]) -> None:
    if id(row) in seen:
        return
    seen.add(id(row))
    below: list[int] = {"u": lambda: row[1], "a": lambda: [row[1]], "d": lambda: [*row[4].values()]}.get(
        row[0], list
    )()
    if row[0] in {"o", "d"}:
        for name, (inner, _) in dict(row[2] if row[0] == "o" else row[3]).items():
            groups.setdefault(name, set()).add(_kind(rows, rows[inner]))
            below = [*below, inner]
        below += [row[3]] if row[0] == "o" and row[3] is not None else []
    for one in below:
        _collect(rows, rows[one], groups, seen)


def _kind(rows: list[Any], row: list[Any]) -> str:
    if row[0] == "u":
        kinds = {_kind(rows, rows[one]) for one in row[1]}
        return kinds.pop() if len(kinds) == 1 else "others"
    if row[0] == "a":
        items = _kind(rows, rows[row[1]])
        return items if items in {"numbers", "flags"} else "others"
    if row[0] == "y" or (row[0] == "o" and not row[2]):
        return "free"
    return {"i": "numbers", "b": "flags", "o": "object"}.get(row[0], "others")


def _group(kinds: set[str]) -> str:
    if len(kinds) == 1:
        return min(kinds).replace("object", "others")
    return "free" if "free" in kinds and "object" not in kinds else "others"


def _faults(rows: list[Any], row: list[Any], value: Any, path: str) -> Iterator[str]:
    kind = row[0]
    if kind == "u":
        choices = [rows[one] for one in row[1]]
        verdicts = [list(_faults(rows, one, value, path)) for one in choices]
        if all(verdicts):
            values = ", ".join(str(one[1]) for one in choices if one[0] == "l")
            yield f"{path}: {value!r} is none of {values}"
    elif kind in {"o", "d"}:
        yield from _object_faults(rows, row, value, path)
    elif kind == "a":
        if not isinstance(value, list):
            yield f"{path}: {value!r} is no list"
            return
        for item in value:
            yield from _faults(rows, rows[row[1]], item, f"{path}[]")
    elif kind in _KINDS:
        # The types know whole numbers only, where the service has others too (a container's cpu).
        fits = isinstance(value, (int, float) if kind == "i" else _KINDS[kind])
        if not fits or (kind == "i" and isinstance(value, bool)):
            yield f"{path}: {value!r} is of another kind"
        elif kind == "l" and value.lower() != row[1].lower():
            yield f"{path}: {value!r} is not {row[1]!r}"


def _object_faults(rows: list[Any], row: list[Any], value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no object"
        return
    known = _properties(rows, row, value)
    extra = row[3] if row[0] == "o" else None
    for name, item in value.items():
        where = f"{path}.{name}".lstrip(".")
        if name in known:
            if known[name][1] & _WRITE_ONLY:
                yield f"{where}: is written only"
            yield from _faults(rows, rows[known[name][0]], item, where)
        elif extra is not None:
            yield from _faults(rows, rows[extra], item, where)
        elif known or row[0] == "d":
            yield f"{where}: is unknown"


def _missing(rows: list[Any], row: list[Any], value: Any, path: str) -> Iterator[str]:
    if row[0] == "a" and isinstance(value, list):
        for item in value:
            yield from _missing(rows, rows[row[1]], item, f"{path}[]")
    elif row[0] in {"o", "d"} and isinstance(value, dict):
        for name, (inner, bits) in _properties(rows, row, value).items():
            where = f"{path}.{name}".lstrip(".")
            if name in value:
                yield from _missing(rows, rows[inner], value[name], where)
            elif bits & _READ_ONLY:
                yield where
