"""The real azd against the lab: the whole life of the template, from `azd up` to `azd down`."""

from __future__ import annotations

import json
import re
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from support.azd_project import OF_AZD, Project

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = [*OF_AZD, pytest.mark.timeout(240)]


def test_the_whole_life(project: Project) -> None:
    print(project.azd("version").stdout)  # noqa: T201 - part of the report
    up = project.azd("up", "--no-prompt")
    assert "SUCCESS" in up.stdout
    values = project.values()
    assert values["RESOURCE_GROUP_NAME"] == "rg-dev"
    assert json.loads(values["FWD_TOPOLOGY"])["spokes"][0]["hostName"]
    boxes = project.fwdctl("jump", "status", "-o", "json").json["data"]["boxes"]
    assert {box["state"] for box in boxes} == {"Stopped"}
    project.fwdctl("probe", "all")

    again = project.azd("up", "--no-prompt")
    assert "skip" in (again.stdout + again.stderr).lower() or "no changes" in again.stdout.lower()

    port = 8001
    [web] = json.loads(values["FWD_TOPOLOGY"])["forwards"]
    forwards = [{name: value for name, value in web.items() if value}]
    added = {**forwards[0], "name": "second", "port": port}
    project.edit_parameters("forwards", [*forwards, added])
    project.azd("provision", "--preview", "--no-prompt")
    done = project.azd("provision", "--no-prompt")
    changed = project.topology()
    assert [forward["port"] for forward in changed["forwards"]] == [8000, port]
    assert "forwarder rollout" not in done.stdout + done.stderr  # nothing is left to do by hand
    assert "Azure has nothing against the parameters" in done.stdout + done.stderr
    deadline = time.monotonic() + 30
    while (last := project.fwdctl("probe", "all", expect=None)).returncode != 0:
        assert time.monotonic() < deadline, last.stdout

    project.azd("env", "refresh", "--no-prompt")
    project.azd("show")
    project.edit_parameters("availabilityZones", ["1"])
    refused = project.azd("hooks", "run", "preprovision", expect=None)
    assert "availabilityZones: asks for 1; lbi-" in refused.stdout + refused.stderr
    project.azd("down", "--force", "--purge", "--no-prompt")
    assert "RESOURCE_GROUP_NAME" not in project.values()
    assert project.nodes() == []
    project.azd("down", "--force", "--purge", "--no-prompt")


def test_hooks_run_alone(project: Project) -> None:
    project.azd("hooks", "run", "preprovision")
    first = project.values()
    assert first["SSH_PUBLIC_KEY"].startswith("ssh-ed25519 ")
    assert not re.search(r"[\\\"']", first["SSH_PUBLIC_KEY"])
    project.azd("hooks", "run", "preprovision")
    assert project.values() == first


def test_a_missing_key_is_a_clear_error(project: Project, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / ".ssh")
    assert "ssh-keygen" in project.refused("up", "--no-prompt")


def test_a_failing_resource_is_named(project: Project) -> None:
    (spoke,) = project.parameter("spokes")
    project.edit_parameters("spokes", [{**spoke, "endpointAddress": "10.99.0.4"}])
    assert "10.99.0.4" in project.refused("provision", "--no-prompt")


def test_another_subscription_is_refused(project: Project) -> None:
    project.azd("env", "set", "AZURE_SUBSCRIPTION_ID", "99999999-9999-9999-9999-999999999999")
    assert "99999999-9999-9999-9999-999999999999" in project.refused("provision", "--no-prompt")


def test_an_unsupported_resource_type_is_named(project: Project) -> None:
    main = project.folder / "infra" / "main.bicep"
    main.write_text(
        "targetScope = 'subscription'\n"
        "param environmentName string\nparam location string\n"
        "resource rg 'Microsoft.Resources/resourceGroups@2024-03-01' = {\n"
        "  name: 'rg-${environmentName}'\n  location: location\n}\n"
        "module cache 'cache.bicep' = {\n  scope: rg\n  params: { location: location }\n}\n"
    )
    (project.folder / "infra" / "cache.bicep").write_text(
        "param location string\n#disable-next-line BCP081\n"
        "resource cache 'Microsoft.Cache/redis@2024-11-01' = {\n  name: 'r'\n  location: location\n}\n"
    )
    (project.folder / "infra" / "main.parameters.json").write_text(
        json.dumps(
            {
                "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#",
                "contentVersion": "1.0.0.0",
                "parameters": {
                    "environmentName": {"value": "${AZURE_ENV_NAME}"},
                    "location": {"value": "${AZURE_LOCATION}"},
                },
            }
        )
    )
    (project.folder / "azure.yaml").write_text("name: other\n")
    assert "Microsoft.Cache/redis" in project.refused("provision", "--no-prompt")


def test_an_unknown_location_is_refused(project: Project) -> None:
    project.azd("env", "set", "AZURE_LOCATION", "atlantis")
    assert "atlantis" in project.refused("provision", "--no-prompt")
    assert project.nodes() == []


def test_a_parameter_of_a_wrong_type_is_refused_with_its_place(project: Project) -> None:
    forwarder = project.parameter("forwarder")
    project.edit_parameters("forwarder", {**forwarder, "instanceCount": "three"})
    assert "forwarder.instanceCount" in project.refused("provision", "--no-prompt")


def test_two_at_once_leave_a_lab_that_works(project: Project) -> None:
    project.azd("hooks", "run", "preprovision")
    both = [project.start_azd("provision", "--no-prompt") for _ in range(2)]
    printed = [process.communicate(timeout=120)[0] for process in both]
    assert 0 in [process.returncode for process in both], printed
    project.azd("provision", "--no-prompt")
    project.fwdctl("probe", "spoke")


def test_a_lab_that_ends_in_the_middle(project: Project) -> None:
    """A deployment under way: azd says that it lost the service, and ends."""
    process = project.start_azd("provision", "--no-prompt")
    try:
        deadline = time.monotonic() + 60
        while "PUT    /subscriptions" not in project.lab.lab("log").stdout:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        project.lab.down()
        printed, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode != 0
    assert "ERROR" in printed


def test_missing_permission_is_arms_own_error(project: Project) -> None:
    project.lab.lab("break", "arm-forbidden")
    assert "AuthorizationFailed" in project.refused("provision", "--no-prompt")
    project.lab.lab("heal")
    project.azd("provision", "--no-prompt")


def test_an_expired_token_is_renewed(project: Project) -> None:
    project.lab.lab("break", "token-expired")
    project.azd("provision", "--no-prompt")
    project.fwdctl("probe", "spoke")


def test_a_preview_looks_into_the_modules(project: Project) -> None:
    """azd shows networks and endpoints, not load balancers; az's what-if shows those (test_az)."""
    project.azd("provision", "--no-prompt")
    (spoke,) = project.parameter("spokes")
    second = {**spoke, "name": "second", "dnsZoneName": "second.internal"}
    project.edit_parameters("spokes", [{**spoke, "dnsServers": ["10.1.8.4"]}, second])
    before = project.nodes()
    shown = project.azd("provision", "--preview", "--no-prompt").stdout
    assert re.search(r"Modify +: Virtual Network +: vnet-app-", shown), shown
    assert re.search(r"vnet-app-.*\n +[+*] properties\.dhcpOptions", shown), shown
    assert re.search(r"Create +: Virtual Network +: vnet-second-", shown)
    assert re.search(r"Create +: Private Endpoint +: pep-second-", shown)
    assert re.search(r"Skip +: Virtual Network +: vnet-hub-", shown)
    assert project.nodes() == before


def test_a_function_that_the_lab_lacks_is_named(project: Project) -> None:
    main = project.folder / "infra" / "main.bicep"
    whole = main.read_text()
    tags = "var allTags = union(tags, { 'azd-env-name': environmentName"
    assert tags in whole
    main.write_text(whole.replace(tags, f"{tags}, newest: dataUri('x')"))
    done = project.azd("provision", "--no-prompt", expect=None)
    printed = done.stdout + done.stderr
    assert done.returncode == 1
    assert "InvalidTemplate" in printed, printed
    assert "The template function 'dataUri' is not supported by the lab." in printed
    assert project.nodes() == []
    main.write_text(whole)
    project.azd("provision", "--no-prompt")
    project.fwdctl("probe", "spoke")


PREDOWN = """\
import json, os, pathlib, subprocess, sys

root = pathlib.Path(__file__).resolve().parent.parent
environ = {**os.environ, "PYTHONPATH": str(root / "src")}
done = subprocess.run(
    [sys.executable, "-m", "fwdctl", "jump", "status", "-o", "json"],
    env=environ, check=True, capture_output=True, text=True, timeout=60,
)
boxes = [box["name"] for box in json.loads(done.stdout)["data"]["boxes"]]
print("last seen in", os.environ["RESOURCE_GROUP_NAME"], *boxes)
subprocess.run(["azd", "env", "set", "LAST_BOXES", ",".join(boxes)], check=True, timeout=60)
"""


def test_a_users_predown_hook_runs_while_everything_is_still_there(project: Project) -> None:
    project.add_predown(PREDOWN)
    project.azd("provision", "--no-prompt")
    done = project.azd("down", "--force", "--purge", "--no-prompt")
    assert "last seen in rg-dev" in done.stdout
    after = project.values()
    assert "RESOURCE_GROUP_NAME" not in after
    assert after["LAST_BOXES"] == "hub,app"
    assert project.nodes() == []


def test_a_failing_predown_hook_keeps_everything(project: Project) -> None:
    project.add_predown("raise SystemExit('not yet')\n")
    project.azd("provision", "--no-prompt")
    done = project.azd("down", "--force", "--purge", "--no-prompt", expect=None)
    assert done.returncode == 1
    assert "predown" in done.stdout + done.stderr
    project.fwdctl("probe", "spoke")


@pytest.mark.timeout(300)
def test_what_a_renamed_spoke_leaves_behind_is_told_stopped_and_removed(project: Project) -> None:
    project.azd("provision", "--no-prompt")
    (spoke,) = project.parameter("spokes")
    project.edit_parameters("spokes", [{**spoke, "name": "renamed"}])
    project.fwdctl("jump", "start", "spoke")
    done = project.azd("provision", "--no-prompt")
    printed = done.stdout + done.stderr
    assert "Jump box app stopped" in printed, printed
    assert "Left behind by what is no longer deployed" in printed
    left = project.fwdctl("env", "orphans", "-o", "json").json["data"]["orphans"]
    assert {orphan["spoke"] for orphan in left} == {"app"}
    assert [orphan["kind"] for orphan in left] == [
        "endpoint connection",
        "private endpoint",
        "jump box",
        "zone link",
        "network",
        "security group",
    ]
    project.fwdctl("env", "orphans", "--remove", "--yes")
    assert project.fwdctl("env", "orphans", "-o", "json").json["data"]["orphans"] == []
    project.fwdctl("probe", "all")
