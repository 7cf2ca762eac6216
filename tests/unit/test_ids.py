from __future__ import annotations

import pytest

from fwdlab.arm.ids import ResourceId, parse_path, same

GROUP = "/subscriptions/S1/resourceGroups/rg"
VNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/hub"


@pytest.mark.parametrize(
    ("text", "kind", "names", "group"),
    [
        ("/subscriptions/S1", "Microsoft.Resources/subscriptions", ("S1",), ""),
        (GROUP, "Microsoft.Resources/resourceGroups", ("rg",), "rg"),
        (VNET, "Microsoft.Network/virtualNetworks", ("hub",), "rg"),
        (f"{VNET}/subnets/a", "Microsoft.Network/virtualNetworks/subnets", ("hub", "a"), "rg"),
        (
            f"{VNET}/providers/Microsoft.Insights/diagnosticSettings/d",
            "Microsoft.Insights/diagnosticSettings",
            ("d",),
            "rg",
        ),
        (
            "/subscriptions/S1/providers/Microsoft.KeyVault/locations/we/deletedVaults/kv",
            "Microsoft.KeyVault/locations/deletedVaults",
            ("we", "kv"),
            "",
        ),
    ],
)
def test_ids_are_taken_apart(text: str, kind: str, names: tuple[str, ...], group: str) -> None:
    parsed = ResourceId.parse(text)
    assert (parsed.type, parsed.names, parsed.group, str(parsed)) == (kind, names, group, text)


@pytest.mark.parametrize(
    "text", ["", "/", "/tenants", "/subscriptions", f"{GROUP}/resources", f"{VNET}/subnets", f"{GROUP}//x"]
)
def test_what_names_no_single_resource_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a resource id"):
        ResourceId.parse(text)


def test_parent_and_child_are_each_others_inverse() -> None:
    network = ResourceId.parse(VNET)
    subnet = network.child("subnets", "a")
    assert subnet == ResourceId.parse(f"{VNET}/subnets/a")
    assert subnet.parent == network
    assert network.parent is None


def test_an_extension_stands_under_its_scope() -> None:
    setting = ResourceId.parse(f"{VNET}/providers/Microsoft.Insights/diagnosticSettings/d")
    assert setting.scope == VNET
    assert setting.parent is None


def test_keywords_are_matched_without_case() -> None:
    parsed = ResourceId.parse(
        "/SUBSCRIPTIONS/S1/RESOURCEGROUPS/Rg/PROVIDERS/Microsoft.Network/VirtualNetworks/h"
    )
    assert (parsed.subscription, parsed.group) == ("S1", "Rg")
    assert parsed.is_type("microsoft.network/virtualnetworks")


@pytest.mark.parametrize(
    ("path", "resource", "word", "kind"),
    [
        (f"{VNET}/subnets", VNET, "subnets", "Microsoft.Network/virtualNetworks/subnets"),
        (f"{GROUP}/providers/Microsoft.Network/virtualNetworks", GROUP, "virtualNetworks", None),
        (f"{GROUP}/resources", GROUP, "resources", "Microsoft.Resources/resources"),
        ("/subscriptions/S1/locations", "/subscriptions/S1", "locations", "Microsoft.Resources/locations"),
    ],
)
def test_collections_and_actions_hang_below_a_resource(
    path: str, resource: str, word: str, kind: str | None
) -> None:
    found = parse_path(path)
    assert found is not None
    assert found.kind == "below"
    assert (found.resource.text, found.word) == (resource, word)
    assert found.type == (kind or "Microsoft.Network/virtualNetworks")


def test_same_never_matches_a_missing_id() -> None:
    assert same("/A/b", "/a/B")
    assert not same(None, None)
    assert not same("/a", None)
