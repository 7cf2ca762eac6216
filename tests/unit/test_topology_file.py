"""A topology file: what it may hold, what it means, and what is wrong with it."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT
from fwdctl.cli.completion import complete_boxes
from fwdctl.deployment import Box
from fwdctl.errors import FwdctlError
from fwdctl.template.topology_file import load, schema
from support.frame import make_runtime, run
from support.probe_paths import planned

if TYPE_CHECKING:
    from pathlib import Path

DOCS = ROOT / "docs"
SAMPLE = json.loads((DOCS / "samples" / "topology.json").read_text("utf-8"))
SECOND = "00000000-0000-0000-0000-000000000002"
LEAST = {"version": 1, "resourceGroup": "rg", "forwards": [{"name": "web", "port": 80}]}


def written(folder: Path, document: Any) -> Path:
    file = folder / "topology.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


def test_the_schema_in_the_documentation_is_that_of_the_reader() -> None:
    shown = (DOCS / "topology.schema.json").read_text("utf-8")
    assert json.loads(shown) == schema(), "write schema() there"


def test_the_sample_is_read(tmp_path: Path) -> None:
    found = load(DOCS / "samples" / "topology.json")
    (spoke,) = found.spokes
    assert spoke.box == Box("databricks", "ci-tools", "", "rg-data", SECOND)
    assert (spoke.endpoint, spoke.address) == ("pe-forward", "10.20.3.4")
    assert spoke.endpoint_id.startswith(f"/subscriptions/{SECOND}/resourceGroups/rg-data/")
    assert (found.hub.load_balancer, found.hub.link_service) == ("lb-forward", "pls-forward")
    assert found.subscription_id == "00000000-0000-0000-0000-000000000001"
    assert (found.by_azd, found.options) == (False, ("-g", "rg-hub"))
    assert [path.label for path in planned(found, "spoke")] == ["databricks/sql"]


def test_what_the_template_hands_over_is_a_topology_file(tmp_path: Path) -> None:
    text = (DOCS / "architecture.md").read_text("utf-8").partition("`FWD_TOPOLOGY`:\n\n```json\n")[2]
    document = json.loads(text.partition("```")[0])
    found = load(written(tmp_path, document))
    assert [spoke.name for spoke in found.spokes] == [spoke["name"] for spoke in document["spokes"]]
    assert found.forwards[0].identity_header == "X-Fwdctl-Server"


def test_a_resource_may_stand_by_its_id(tmp_path: Path) -> None:
    document = copy.deepcopy(SAMPLE)
    base = f"/subscriptions/{SECOND}/resourceGroups/rg-lb/providers/Microsoft.Network"
    document["hub"]["loadBalancer"]["name"] = f"{base}/loadBalancers/lb-x"
    hub = load(written(tmp_path, document)).hub
    assert (hub.load_balancer, hub.resource_group, hub.subscription_id) == ("lb-x", "rg-lb", SECOND)


def test_what_is_left_out_is_not_known(tmp_path: Path) -> None:
    document = {
        **LEAST,
        "hub": {"jump": "ci-hub", "scaleSet": None},
        "spokes": [{"name": "a"}, {"name": "b", "jump": "ci-b"}],
    }
    found = load(written(tmp_path, document), "login")
    assert found.subscription_id == "login"
    assert {path.label: path.skip for path in planned(found, "all")} == {
        "hub/web/targets": "the targets are not known: the topology names none",
        "hub/web": "the load balancer's address is not known",
        "a/web": "network a has no jump box",
        "b/web": "neither a name nor an endpoint is known",
    }


WRONG = {
    "not json": ('{"version": }', "line 1, column 13: not JSON"),
    "no object": ("[]", "[] is not an object"),
    "no version": ({"resourceGroup": "rg", "forwards": []}, "lacks version"),
    "another version": ({**LEAST, "version": 2}, "version: 2 is unknown"),
    "unknown key": ({**LEAST, "spoke": []}, "spoke: is not a known key"),
    "unknown key below": (
        {**LEAST, "spokes": [{"name": "a", "hostname": "x"}]},
        "spokes[0].hostname: is not a known key",
    ),
    "missing key below": ({**LEAST, "forwards": [{"name": "web"}]}, "forwards[0]: lacks port"),
    "no number": (
        {**LEAST, "forwards": [{"name": "web", "port": "80"}]},
        'forwards[0].port: "80" is not a whole number',
    ),
    "no list": ({**LEAST, "spokes": {}}, "spokes: {} is not a list"),
    "no text": ({**LEAST, "resourceGroup": 1}, "resourceGroup: 1 is not text that is not empty"),
    "no address": (
        {**LEAST, "spokes": [{"name": "a", "privateEndpoint": {"name": "pe", "address": "10.1"}}]},
        'spokes[0].privateEndpoint.address: "10.1" is not an IPv4 address',
    ),
    "no target": (
        {**LEAST, "forwards": [{"name": "web", "port": 80, "targets": ["10.0.0.1"]}]},
        'forwards[0].targets[0]: "10.0.0.1" is not HOST:PORT',
    ),
    "no check": (
        {**LEAST, "forwards": [{"name": "web", "port": 80, "check": "ftp"}]},
        'forwards[0].check: "ftp" is unknown',
    ),
    "no header": (
        {**LEAST, "forwards": [{"name": "web", "port": 80, "identityHeader": 1}]},
        "forwards[0].identityHeader: 1 is not text",
    ),
    "no forward": ({**LEAST, "forwards": []}, "forwards: is empty"),
    "a word": ({**LEAST, "spokes": [{"name": "hub"}]}, "spokes[0].name: 'hub' means other jump boxes"),
    "twice": (
        {**LEAST, "spokes": [{"name": "a"}, {"name": "b"}, {"name": "a"}]},
        "spokes[2].name: 'a' is there twice",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_with_file_and_key(tmp_path: Path, name: str) -> None:
    document, problem = WRONG[name]
    file = written(tmp_path, document)
    with pytest.raises(FwdctlError) as refused:
        load(file)
    assert (refused.value.code, refused.value.exit_code) == ("topology_invalid", 2)
    assert refused.value.message.startswith(f"{file}: {problem}")
    assert refused.value.suggestion


def test_the_shell_is_offered_the_spokes_of_the_file(tmp_path: Path) -> None:
    written(tmp_path, {**LEAST, "spokes": [{"name": "shop", "jump": "ci-shop"}]})
    root = SimpleNamespace(params={"cwd": tmp_path})
    context: Any = SimpleNamespace(params={"topology": "topology.json"}, find_root=lambda: root)
    assert complete_boxes(context) == ["hub", "spoke", "all", "shop"]
    written(tmp_path, "{")
    assert complete_boxes(context) == ["hub", "spoke", "all"]


def test_a_close_key_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(FwdctlError) as refused:
        load(written(tmp_path, {**LEAST, "spokes": [{"name": "a", "hostname": "x"}]}))
    assert refused.value.suggestion == "Did you mean 'hostName'?"


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("--topology", "none.json"), 3, "file_not_found"),
        (("--topology", "topology.json"), 2, "topology_invalid"),
        (("--topology", "topology.json", "-g", "rg"), 2, "usage"),
        (("--topology", "topology.json", "-e", "dev"), 2, "usage"),
    ],
)
def test_the_probe_says_what_is_wrong_with_it(
    tmp_path: Path, words: tuple[str, ...], code: int, error: str
) -> None:
    written(tmp_path, "[]")
    ran = run(make_runtime(tmp_path), "probe", "all", *words, "-o", "json")
    assert (ran.code, ran.envelope["errors"][0]["code"]) == (code, error)
