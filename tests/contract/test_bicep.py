"""The compiled template is in step with its source, and holds what Azure and the rest of this project rely on."""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conftest import bicep_compiler

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
FOLDERS = [INFRA, *sorted(each for each in (INFRA / "variants").iterdir() if each.is_dir())]
SOURCES = [
    *(folder / "main.bicep" for folder in FOLDERS),
    ROOT / "tests" / "e2e" / "foreign" / "forwards.bicep",
]


def compiled(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "main.json").read_text(encoding="utf-8"))
    return found


TEMPLATE: dict[str, Any] = compiled(INFRA)
PARAMETERS: dict[str, Any] = {
    name: entry["value"]
    for name, entry in json.loads((INFRA / "main.parameters.json").read_text(encoding="utf-8"))[
        "parameters"
    ].items()
}


def compile_template(source: Path) -> subprocess.CompletedProcess[str]:
    compiler = bicep_compiler()
    assert compiler is not None
    command = [str(compiler), "build", str(source), "--stdout"]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def without_generator(value: Any) -> Any:
    """The template without the compiler's own version and hash, which stand in every nested template too."""
    if isinstance(value, dict):
        return {k: without_generator(v) for k, v in value.items() if k != "_generator"}
    if isinstance(value, list):
        return [without_generator(item) for item in value]
    return value


def templates(template: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The template and all nested in it."""
    yield template
    for resource in resources(template):
        if resource["type"] == "Microsoft.Resources/deployments":
            yield from templates(resource["properties"]["template"])


def resources(template: dict[str, Any]) -> list[dict[str, Any]]:
    """A template's own resources, in either language version."""
    found = template["resources"]
    return list(found.values()) if isinstance(found, dict) else list(found)


def of_type(kind: str) -> list[dict[str, Any]]:
    """All resources of a type that the template creates, anywhere."""
    return [
        resource
        for template in templates(TEMPLATE)
        for resource in resources(template)
        if resource["type"] == kind and not resource.get("existing")
    ]


@pytest.mark.bicep
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.parent.name)
def test_the_json_is_what_the_bicep_compiles_to_without_any_diagnostic(source: Path) -> None:
    done = compile_template(source)
    assert done.stderr == ""
    assert done.returncode == 0
    own = source.with_suffix(".json")
    assert without_generator(json.loads(done.stdout)) == without_generator(
        json.loads(own.read_text("utf-8"))
    ), f"out of step: bicep build {source.relative_to(ROOT)}"


@pytest.mark.bicep
@pytest.mark.parametrize(
    ("line", "code"),
    [("param unused string", "no-unused-params"), ("output x string = nothing", "BCP057")],
)
def test_the_check_of_diagnostics_can_fail(tmp_path: Path, line: str, code: str) -> None:
    shutil.copytree(INFRA, tmp_path / "infra")
    main = tmp_path / "infra" / "main.bicep"
    main.write_text(main.read_text(encoding="utf-8") + f"\n@description('x')\n{line}\n", encoding="utf-8")
    done = compile_template(main)
    assert code in done.stderr


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_parameter_output_and_type_says_what_it_is(folder: Path) -> None:
    for template in templates(compiled(folder)):
        for group in ("parameters", "outputs"):
            for name, entry in template.get(group, {}).items():
                assert entry.get("metadata", {}).get("description"), f"{group} {name}"
        for name, entry in template.get("definitions", {}).items():
            assert entry["metadata"]["description"], name
            for field, kind in entry.get("properties", {}).items():
                assert kind.get("metadata", {}).get("description"), f"{name}.{field}"


@pytest.mark.parametrize("folder", FOLDERS[1:], ids=lambda folder: folder.name)
def test_a_variants_parameters_file_gives_what_has_no_default(folder: Path) -> None:
    declared = compiled(folder)["parameters"]
    given = json.loads((folder / "main.parameters.json").read_text(encoding="utf-8"))["parameters"]
    assert set(given) <= set(declared)
    optional = {name for name, one in declared.items() if "defaultValue" in one or one.get("nullable")}
    assert set(declared) - optional <= set(given)
    asked = re.findall(r"\$\{(\w+)\}", json.dumps(given))
    assert set(asked) <= {"AZURE_ENV_NAME", "AZURE_LOCATION", "SSH_PUBLIC_KEY", "LINK_SERVICE_ALIAS"}


def test_no_parameter_lacks_a_default_but_those_that_azd_asks_for() -> None:
    required = {name for name, entry in TEMPLATE["parameters"].items() if "defaultValue" not in entry}
    assert required == {"environmentName", "location"}


def test_the_parameters_file_names_only_parameters_and_feeds_the_hooks_values() -> None:
    assert set(PARAMETERS) <= set(TEMPLATE["parameters"])
    assert {name: value for name, value in PARAMETERS.items() if "${" in str(value)} == {
        "environmentName": "${AZURE_ENV_NAME}",
        "location": "${AZURE_LOCATION}",
        "sshPublicKey": "${SSH_PUBLIC_KEY}",
        "cloudInitForwarder": "${CLOUD_INIT_FWD}",
        "cloudInitOnPrem": "${CLOUD_INIT_ONPREM}",
    }
    edited = {"hub", "corp", "spokes", "forwards", "hostName", "forwarder", "jump"}
    assert edited <= set(PARAMETERS)


def test_the_defaults_are_those_of_the_parameters_file() -> None:
    for name, value in PARAMETERS.items():
        if "${" not in str(value):
            assert TEMPLATE["parameters"][name]["defaultValue"] == value, name


def test_outputs_are_the_names_of_the_azd_environment() -> None:
    outputs = {"RESOURCE_GROUP_NAME", "RESOURCE_TOKEN", "HUB_JUMP_NAME", "SPOKE_JUMP_NAME", "FWD_TOPOLOGY"}
    assert set(TEMPLATE["outputs"]) == outputs | {"LINK_SERVICE_ID", "LINK_SERVICE_ALIAS"}


@pytest.mark.parametrize(
    ("parameter", "variable"),
    [
        ("sshPublicKey", "SSH_PUBLIC_KEY"),
        ("cloudInitForwarder", "CLOUD_INIT_FWD"),
        ("cloudInitOnPrem", "CLOUD_INIT_ONPREM"),
    ],
)
def test_an_empty_value_of_the_hook_is_refused_by_name(parameter: str, variable: str) -> None:
    assert TEMPLATE["parameters"][parameter]["defaultValue"] == ""
    checks = [
        text
        for text in TEMPLATE["variables"].values()
        if f"fail(format('{parameter} ({variable}) is empty." in str(text)
    ]
    assert len(checks) == 1
    [nested] = [r for r in resources(TEMPLATE) if r["type"] == "Microsoft.Resources/deployments"]
    used = nested["properties"]["parameters"][parameter]["value"]
    assert TEMPLATE["variables"][re.fullmatch(r"\[variables\('(\w+)'\)\]", used)[1]] == checks[0]  # type: ignore[index]


def test_the_resource_group_is_found_by_azd() -> None:
    [group] = of_type("Microsoft.Resources/resourceGroups")
    assert group["tags"] == "[variables('allTags')]"
    own = "createObject('azd-env-name', parameters('environmentName'))"
    assert TEMPLATE["variables"]["allTags"] == f"[union(parameters('tags'), {own})]"


def test_subnets_of_the_parameters_lie_in_their_networks_and_do_not_overlap() -> None:
    for network in [PARAMETERS["hub"], *PARAMETERS["spokes"]]:
        whole = ipaddress.ip_network(network["addressPrefix"])
        parts = [ipaddress.ip_network(v) for k, v in network.items() if k.endswith("SubnetPrefix")]
        assert len(parts) >= 2
        for index, part in enumerate(parts):
            assert part.subnet_of(whole)  # type: ignore[arg-type]
            assert not any(part.overlaps(other) for other in parts[index + 1 :])


def test_probes_ask_the_agent_and_never_a_forwarded_port() -> None:
    [balancer] = of_type("Microsoft.Network/loadBalancers")
    [probes] = [copy for copy in balancer["properties"]["copy"] if copy["name"] == "probes"]
    probe = probes["input"]["properties"]
    assert probe["protocol"] == "Http"
    assert probe["port"] == "[parameters('forwarder').healthPort]"
    assert "/forward/{0}/{1}" in probe["requestPath"]
    assert probe["probeThreshold"] == 2
    assert PARAMETERS["forwarder"]["healthPort"] not in {
        forward["port"] for forward in PARAMETERS["forwards"]
    }


def test_one_frontend_carries_a_rule_for_each_forward() -> None:
    [balancer] = of_type("Microsoft.Network/loadBalancers")
    assert len(balancer["properties"]["frontendIPConfigurations"]) == 1
    [rules] = [copy for copy in balancer["properties"]["copy"] if copy["name"] == "loadBalancingRules"]
    assert rules["count"] == "[length(parameters('forwards'))]"
    rule = rules["input"]["properties"]
    assert rule["enableTcpReset"] is True
    assert rule["enableFloatingIP"] is False
    assert 4 <= rule["idleTimeoutInMinutes"] <= 30
    assert rule["frontendPort"] == rule["backendPort"]


def test_the_scale_set() -> None:
    [scale_set] = of_type("Microsoft.Compute/virtualMachineScaleSets")
    profile = scale_set["properties"]["virtualMachineProfile"]
    assert len(profile["osProfile"]["computerNamePrefix"]) + 6 <= 15
    assert "fwdctl-config-hash" in scale_set["tags"]
    assert "fwdctl-forwards-hash" in scale_set["tags"]
    [health] = profile["extensionProfile"]["extensions"]
    assert health["properties"]["settings"]["requestPath"] == "/live"
    assert PARAMETERS["forwarder"]["instanceCount"] == 3
    zones = "[pickZones('Microsoft.Compute', 'virtualMachineScaleSets', parameters('location'), 3)]"
    assert TEMPLATE["parameters"]["availabilityZones"]["defaultValue"] == zones


def test_azure_upgrades_the_os_of_one_forwarder_at_a_time_and_watches_the_agent() -> None:
    [scale_set] = of_type("Microsoft.Compute/virtualMachineScaleSets")
    policy = scale_set["properties"]["upgradePolicy"]
    assert policy["mode"] == "Manual"
    assert policy["automaticOSUpgradePolicy"]["enableAutomaticOSUpgrade"] == (
        "[coalesce(tryGet(parameters('forwarder'), 'automaticOsUpgrade'), false())]"
    )
    assert policy["automaticOSUpgradePolicy"]["useRollingUpgradePolicy"] is True
    rolling = policy["rollingUpgradePolicy"]
    assert rolling["maxBatchInstancePercent"] <= rolling["maxUnhealthyInstancePercent"]
    assert rolling["maxUnhealthyInstancePercent"] < 100 / PARAMETERS["forwarder"]["instanceCount"]
    # One source of health only, or Azure upgrades nothing: the extension, not a probe of the load balancer.
    assert "healthProbe" not in scale_set["properties"]["virtualMachineProfile"]["networkProfile"]
    assert PARAMETERS["forwarder"]["automaticOsUpgrade"] is True
    assert PARAMETERS["forwarder"]["image"]["version"] == "latest"


def rules_of_shared_group() -> list[dict[str, Any]]:
    [template] = [t for t in templates(TEMPLATE) if "sshRules" in t.get("variables", {})]
    return list(template["variables"]["baseRules"])


def test_the_shared_group_lets_in_probes_link_service_and_hub_jump_only() -> None:
    rules = sorted(rules_of_shared_group(), key=lambda rule: int(rule["properties"]["priority"]))
    allowed = [
        rule["properties"]["sourceAddressPrefix"] for rule in rules if rule["properties"]["access"] == "Allow"
    ]
    assert allowed == [
        "AzureLoadBalancer",
        "[parameters('hub').sharedSubnetPrefix]",
        "[parameters('hub').jumpSubnetPrefix]",
    ]
    last = rules[-1]["properties"]
    assert (last["access"], last["sourceAddressPrefix"], last["destinationPortRange"]) == ("Deny", "*", "*")


def test_ssh_is_closed_unless_asked_for() -> None:
    assert PARAMETERS["forwarder"]["allowSsh"] is False
    assert not any(rule["properties"].get("destinationPortRange") == "22" for rule in rules_of_shared_group())
    groups = [
        str(group["properties"]["securityRules"])
        for group in of_type("Microsoft.Network/networkSecurityGroups")
    ]
    assert len(groups) == 4
    assert sum("if(parameters('allowSsh'), variables('sshRules')" in rules for rules in groups) == 1
    assert not any("'22'" in rules for rules in groups)


def test_the_endpoint_has_its_address_from_the_start() -> None:
    [endpoint] = of_type("Microsoft.Network/privateEndpoints")
    [configuration] = endpoint["properties"]["ipConfigurations"]
    assert configuration["properties"] == {
        "groupId": "",
        "memberName": "",
        "privateIPAddress": "[parameters('spoke').endpointAddress]",
    }
    own, asked = (endpoint["properties"][f"{kind}rivateLinkServiceConnections"] for kind in ("p", "manualP"))
    assert own == "[if(empty(parameters('requestMessage')), variables('connections'), createArray())]"
    assert asked == "[if(empty(parameters('requestMessage')), createArray(), variables('connections'))]"
    [spoke] = [one["variables"] for one in templates(TEMPLATE) if "connections" in one.get("variables", {})]
    [connection] = spoke["connections"]
    assert connection["properties"]["groupIds"] == []
    [records] = [
        module["properties"]["parameters"]
        for template in templates(TEMPLATE)
        for module in resources(template)
        if "zoneName" in module.get("properties", {}).get("parameters", {})
    ]
    assert records["address"] == {"value": "[parameters('spoke').endpointAddress]"}


def test_the_link_service_adds_no_proxy_header() -> None:
    [service] = of_type("Microsoft.Network/privateLinkServices")
    assert service["properties"]["enableProxyProtocol"] is False


def test_a_jump_box_ends_by_itself() -> None:
    hub, spokes = of_type("Microsoft.ContainerInstance/containerGroups")
    assert hub["properties"] == spokes["properties"]
    assert hub["properties"]["restartPolicy"] == "Never"
    [container] = hub["properties"]["containers"]
    *shell, _life, _name, unattended, lifetime = container["properties"]["command"]
    assert shell == ["/bin/sh", "-c"]
    assert unattended == "[format('{0}', coalesce(tryGet(parameters('jump'), 'unattendedSeconds'), 600))]"
    assert lifetime == "[format('{0}', parameters('jump').lifetimeSeconds)]"
    assert PARAMETERS["jump"]["image"].startswith("mcr.microsoft.com/")


def test_no_virtual_machine_has_a_public_address() -> None:
    [address] = of_type("Microsoft.Network/publicIPAddresses")
    assert "nat-" in address["name"]
    assert "publicIPAddress" not in json.dumps(
        [
            *of_type("Microsoft.Network/networkInterfaces"),
            *of_type("Microsoft.Compute/virtualMachineScaleSets"),
        ]
    )


def test_the_default_zone_cannot_hide_public_dns() -> None:
    assert all(spoke["dnsZoneName"].endswith(".internal") for spoke in PARAMETERS["spokes"])


@pytest.mark.parametrize("name", ["forwarder.yaml", "onprem-server.yaml"])
def test_cloud_init_installs_nothing_and_names_its_hash_in_line_two(name: str) -> None:
    import yaml

    raw = (INFRA / "cloud-init" / name).read_bytes()
    assert b"\r" not in raw
    lines = raw.decode().splitlines()
    assert lines[:2] == ["#cloud-config", "# fwdctl-config-hash: @@CONFIG_HASH@@"]
    document = yaml.safe_load(raw)
    assert set(document) == {"write_files", "runcmd"}
    paths = {entry["path"] for entry in document["write_files"]}
    units = [entry for entry in document["write_files"] if entry["path"].endswith(".service")]
    assert len(units) == 1
    [start] = [line for line in units[0]["content"].splitlines() if line.startswith("ExecStart=")]
    assert set(start.split("=", 1)[1].split()[1:]) <= paths
    assert document["runcmd"][-1] == ["systemctl", "enable", "--now", Path(units[0]["path"]).name]


def test_azure_yaml_runs_the_hooks_where_their_output_is_seen() -> None:
    import yaml

    project = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
    assert project["requiredVersions"]["azd"] == ">= 1.24.0"
    for name in ("preprovision", "postprovision", "postdown"):
        hook = project["hooks"][name]
        assert hook == {"kind": "python", "run": f"hooks/{name}.py", "interactive": True}
        assert (ROOT / hook["run"]).is_file()


def test_the_walk_over_the_templates_finds_all() -> None:
    """Else the tests above could hold for want of resources."""
    kinds = {resource["type"] for template in templates(TEMPLATE) for resource in resources(template)}
    modules = {path.stem for path in (INFRA / "modules").glob("*.bicep")}
    names = {template["metadata"]["name"] for template in templates(TEMPLATE)}
    assert len(names) == len(modules) + 2
    assert len(kinds) >= 17
