"""docs/lab.md lists the resource types that there are."""

from __future__ import annotations

import re

from conftest import ROOT
from support.controlplane import new_api

DEPLOYMENTS = "Microsoft.Resources/deployments"  # not a provider's, but the template engine's
_TERM = re.compile(r"`([\w/]+)`(?: \(([^)]*)\))?")


def listed() -> set[str]:
    section = (ROOT / "docs" / "lab.md").read_text().partition("## Resource types\n")[2].partition("\n## ")[0]
    found: set[str] = set()
    for namespace, types in re.findall(r"^\| `(Microsoft\.\w+)` \| (.*) \|$", section, re.MULTILINE):
        for name, children in _TERM.findall(types):
            if name != "locations":  # no type of its own
                found.add(f"{namespace}/{name}")
            found |= {f"{namespace}/{name}/{child}" for child in re.findall(r"`([\w/]+)`", children)}
    return found


def test_every_type_is_listed_and_no_other() -> None:
    assert listed() == {*new_api().resource_types, DEPLOYMENTS}
