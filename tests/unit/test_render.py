"""What is rendered from a parameters file, and what is checked of it, skipped, or said to be wrong."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT
from fwdctl.template import render
from fwdctl.template.files import Template
from support.deployed_template import WEB, deploy, of_type, user_data
from support.fake_program import write_program
from support.frame import Ran, make_runtime, run

if TYPE_CHECKING:
    from pathlib import Path

DATABASE = {
    "name": "db",
    "port": 1433,
    "targets": ["db.example.com:11433", "192.168.42.65:11433"],
    "balance": "sourceHash",
    "check": "tls",
    "serverName": "db.example.com",
}


def parameters(folder: Path, *forwards: dict[str, Any], **more: Any) -> Path:
    document = json.loads((ROOT / "infra" / "main.parameters.json").read_text())
    if forwards:
        document["parameters"]["forwards"] = {"value": list(forwards)}
    document["parameters"] |= {name: {"value": value} for name, value in more.items()}
    file = folder / "mine.parameters.json"
    file.write_text(json.dumps(document))
    return file


def forwarder(folder: Path, *words: str) -> Ran:
    return run(make_runtime(folder), "forwarder", *words)


@pytest.mark.parametrize("forwards", [[WEB], [WEB, DATABASE]])
def test_the_configuration_is_what_the_template_makes(tmp_path: Path, forwards: list[dict[str, Any]]) -> None:
    target, _ = deploy(forwards=forwards)
    told = user_data(of_type(target, "virtualMachineScaleSets")[0])
    file = parameters(tmp_path, *forwards)
    rendered = render.Rendering(Template(ROOT / "infra"), file, {}).configuration
    assert rendered | {"hash": told["hash"]} == told


def test_the_subnet_of_the_nat_addresses_is_let_in(tmp_path: Path) -> None:
    net = "/subscriptions/s/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/hub/subnets"
    hub = json.loads((ROOT / "infra" / "main.parameters.json").read_text())["parameters"]["hub"]["value"]
    hub |= {
        "natSubnetPrefix": "10.0.1.128/26",
        "existing": {"subnetId": f"{net}/a", "natSubnetId": f"{net}/b"},
    }
    file = parameters(tmp_path, WEB, hub=hub, deployOnPremServers=False)
    told = render.Rendering(Template(ROOT / "infra"), file, {}).configuration
    assert told["inbound"] == ["10.0.1.0/26", "10.0.1.64/26", "10.0.1.128/26"]


def test_all_parts_are_printed_and_one_alone_can_be_piped(tmp_path: Path) -> None:
    file = str(parameters(tmp_path, WEB, DATABASE))
    whole = forwarder(tmp_path, "render", "--parameters", file)
    assert [line for line in whole.stdout.splitlines() if line.startswith("# ")][:3] == [
        "# configuration",
        "# rules",
        "# cloud-init",
    ]
    rules = forwarder(tmp_path, "render", "--parameters", file, "--part", "rules").stdout
    assert rules.startswith("*nat\n")
    assert "--to-destination db.example.com:11433" in rules
    data = forwarder(tmp_path, "render", "--parameters", file, "-o", "json").envelope["data"]
    assert data.keys() == {"configuration", "rules", "cloudInit"}
    assert data["cloudInit"].keys() == {"text", "hash", "characters"}
    assert (data["rules"].strip(), data["configuration"]["forwards"][1]["port"]) == (rules.strip(), 1433)


def outcomes(ran: Ran) -> dict[str, str]:
    return {check["name"]: check["outcome"] for check in ran.envelope["data"]["checks"]}


def test_a_good_file_passes_and_what_was_not_checked_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = forwarder(tmp_path, "check", "--parameters", str(parameters(tmp_path, WEB)), "-o", "json")
    assert ran.code == 0
    assert outcomes(ran) == {
        "parameters": "passed",
        "configuration": "passed",
        "cloud-init": "passed",
        "cloud-init schema of forwarder.yaml": "skipped",
        "cloud-init schema of onprem-server.yaml": "skipped",
        "iptables-restore --test": "skipped",
        "SSH key": "skipped",
        "Azure": "skipped",
    }
    assert all(check["detail"] for check in ran.envelope["data"]["checks"] if check["outcome"] == "skipped")


def test_every_problem_of_the_parameters_is_told_with_its_key(tmp_path: Path) -> None:
    bad = {**WEB, "port": 18099, "targets": ["127.0.0.1:80", "192.168.42.65:80"]}
    ran = forwarder(tmp_path, "check", "--parameters", str(parameters(tmp_path, bad)), "-o", "json")
    assert (ran.code, ran.envelope["status"]) == (2, "failed")
    [error] = ran.envelope["errors"]
    assert error["message"].startswith("parameters: forwards[0].targets[0]: 127.0.0.1 ")
    assert error["suggestion"]
    assert outcomes(ran)["configuration"] == "skipped"
    assert outcomes(ran)["cloud-init"] == "passed"


def test_what_the_agent_refuses_fails(tmp_path: Path) -> None:
    infra = tmp_path / "infra"
    shutil.copytree(ROOT / "infra", infra, ignore=shutil.ignore_patterns("__pycache__"))
    agents = infra / "cloud-init" / "forwarder" / "configuration.py"
    agents.write_text(agents.read_text().replace("VERSION = 1\n", "VERSION = 2\n"))
    found = list(render.checks(render.Rendering(Template(infra), parameters(tmp_path, WEB), {})))
    assert [(c.name, c.outcome) for c in found[:2]] == [("parameters", "passed"), ("configuration", "failed")]
    assert "version 1 is not 2" in found[1].detail
    assert not list(infra.rglob("__pycache__"))


@pytest.mark.parametrize(
    ("program", "outcome", "detail"),
    [
        ("sys.exit(0)", "passed", ""),
        (
            "sys.exit('iptables-restore v1.8: Permission denied (you must be root)')",
            "skipped",
            "it needs root",
        ),
        ("sys.exit('line 3 failed')", "failed", "line 3 failed"),
        ("assert 'db.example.com' not in sys.stdin.read()", "passed", ""),
    ],
)
def test_iptables_and_cloud_init_are_asked_where_they_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, outcome: str, detail: str
) -> None:
    write_program(tmp_path, "iptables-restore", f"import sys\n{program}\n")
    write_program(tmp_path, "cloud-init", "import sys\nassert sys.argv[1:3] == ['schema', '--config-file']\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    file = parameters(tmp_path, {**DATABASE, "targets": ["db.example.com:1"]})
    found = {c.name: c for c in render.checks(render.Rendering(Template(ROOT / "infra"), file, {}))}
    asked = found["iptables-restore --test"]
    assert (asked.outcome, asked.detail) == (outcome, detail)
    assert found["cloud-init schema of forwarder.yaml"].outcome == "passed"


def test_the_real_iptables_takes_the_rules(tmp_path: Path) -> None:
    file = parameters(tmp_path, WEB, DATABASE)
    found = {c.name: c for c in render.checks(render.Rendering(Template(ROOT / "infra"), file, {}))}
    asked = found["iptables-restore --test"]
    if asked.outcome == "skipped":
        pytest.skip(asked.detail)
    assert asked.outcome == "passed", asked.detail
