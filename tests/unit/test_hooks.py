from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from dotenv import dotenv_values

from conftest import ROOT
from fwdctl.template import hooks
from support.fake_arm import CONTAINERS, GROUP, FakeArm, container_group
from support.fake_program import write_program
from support.frame import ED25519, make_runtime, project, run

if TYPE_CHECKING:
    from pathlib import Path

    from fwdctl.runtime import Runtime

FAKE_AZD = """# Notes its arguments and keeps what it was told to set.
import os, pathlib, sys
notes = pathlib.Path(os.environ["AZD_NOTES"])
values = pathlib.Path(sys.argv[4]).read_bytes()
texts = {"calls": (" ".join(sys.argv[1:]) + chr(10)).encode(), "set": values, "../.azure/dev/.env": values}
for name, text in texts.items():
    with (notes / name).open("ab") as stream:
        stream.write(text)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project like the template, with a key at home and an azd that notes what it is asked."""
    project(tmp_path)
    shutil.copytree(
        ROOT / "infra",
        tmp_path / "infra",
        ignore=shutil.ignore_patterns("*.bicep", "validation-*", "__pycache__"),
    )
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519.pub").write_text(f'{ED25519} DOMAIN\\user "x"\n')
    notes = tmp_path / "notes"
    notes.mkdir()
    write_program(notes, "azd", FAKE_AZD)
    return tmp_path


def runtime_in(folder: Path, **environ: str) -> Runtime:
    path = f"{folder / 'notes'}{os.pathsep}{os.environ['PATH']}"
    return make_runtime(
        folder, {"HOME": str(folder), "PATH": path, "AZD_NOTES": str(folder / "notes"), "CI": "1", **environ}
    )


def calls(folder: Path) -> list[str]:
    file = folder / "notes" / "calls"
    return file.read_text().splitlines() if file.exists() else []


def edit(folder: Path, name: str, value: Any) -> None:
    file = folder / "infra" / "main.parameters.json"
    document = json.loads(file.read_text())
    document["parameters"][name] = {"value": value}
    file.write_text(json.dumps(document))


def test_three_values_are_set_in_one_call_and_reported(folder: Path) -> None:
    ran = run(runtime_in(folder), "hook", "preprovision")
    assert ran.code == 0
    assert len(calls(folder)) == 1
    words = calls(folder)[0].split(" ")
    assert words[:3] == ["env", "set", "--file"]
    assert words[4:] == ["--environment", "dev", "--no-prompt", "--cwd", str(folder)]
    values = dotenv_values(folder / "notes" / "set", interpolate=False)
    assert values.keys() == {"SSH_PUBLIC_KEY", "CLOUD_INIT_FWD", "CLOUD_INIT_ONPREM"}
    assert values["SSH_PUBLIC_KEY"] == f"{ED25519} DOMAIN-user-x"
    forwarder = gzip.decompress(base64.b64decode(values["CLOUD_INIT_FWD"] or ""))
    assert forwarder.startswith(b"#cloud-config\n")
    assert [line.split(":")[0] + ":" + line.split(":")[1] for line in ran.stderr.splitlines()] == [
        "  (✓) Done: SSH_PUBLIC_KEY set",
        "  (✓) Done: CLOUD_INIT_FWD set",
        "  (✓) Done: CLOUD_INIT_ONPREM set",
    ]
    assert ran.stdout == ""


def test_a_second_run_changes_nothing(folder: Path) -> None:
    run(runtime_in(folder), "hook", "preprovision")
    before = (folder / ".azure" / "dev" / ".env").read_bytes()
    ran = run(runtime_in(folder), "hook", "preprovision", "-o", "json")
    assert ran.envelope["data"]["changed"] == []
    assert ran.stderr.count("(-) Skipped:") == 3
    assert len(calls(folder)) == 1
    assert (folder / ".azure" / "dev" / ".env").read_bytes() == before


def test_only_what_changed_is_set(folder: Path) -> None:
    run(runtime_in(folder), "hook", "preprovision")
    edit(folder, "forwards", [{"name": "sql", "port": 1433, "targets": ["192.168.42.65:1433"]}])
    ran = run(runtime_in(folder), "hook", "preprovision", "-o", "json")
    assert ran.envelope["data"]["changed"] == []  # forwards travel as user data, which the template makes
    with (folder / "infra" / "cloud-init" / "forwarder" / "agent.py").open("a") as stream:
        stream.write("# changed\n")
    ran = run(runtime_in(folder), "hook", "preprovision", "-o", "json")
    assert ran.envelope["data"]["changed"] == ["CLOUD_INIT_FWD"]
    assert len(calls(folder)) == 2


def test_a_value_of_the_shell_alone_is_written_into_the_environment(folder: Path) -> None:
    ran = run(runtime_in(folder, SSH_PUBLIC_KEY=ED25519), "hook", "preprovision")
    assert "(✓) Done: SSH_PUBLIC_KEY set: from the process environment" in ran.stderr
    assert f'SSH_PUBLIC_KEY="{ED25519}' in (folder / ".azure" / "dev" / ".env").read_text()
    again = run(runtime_in(folder, SSH_PUBLIC_KEY=ED25519), "hook", "preprovision")
    assert "(-) Skipped: SSH_PUBLIC_KEY unchanged: from the azd environment" in again.stderr


def test_another_key_at_home_does_not_replace_the_one_that_is_set(folder: Path) -> None:
    run(runtime_in(folder), "hook", "preprovision")
    (folder / ".ssh" / "id_ed25519.pub").write_text(ED25519.replace("IKN", "IKM") + " other\n")
    assert run(runtime_in(folder), "hook", "preprovision", "-o", "json").envelope["data"]["changed"] == []


@pytest.mark.parametrize(
    ("spoil", "code", "exit_code"),
    [
        (lambda f: edit(f, "forwards", [{"name": "a", "port": 0, "targets": []}]), "parameters_invalid", 2),
        (lambda f: (f / "infra" / "main.parameters.json").write_text("{"), "parameters_not_json", 2),
        (
            lambda f: (f / "infra" / "main.parameters.json").write_text("{}", "utf-8-sig"),
            "parameters_not_json",
            2,
        ),
        (lambda f: (f / ".ssh" / "id_ed25519.pub").unlink(), "ssh_key_not_found", 2),
        (
            lambda f: (f / ".ssh" / "id_ed25519.pub").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nx"),
            "ssh_key_private",
            2,
        ),
        (
            lambda f: (f / "infra" / "cloud-init" / "forwarder.yaml").write_bytes(b"#cloud-config\r\n"),
            "cloud_init_invalid",
            2,
        ),
        (
            lambda f: (f / "infra" / "cloud-init" / "onprem-server.yaml").write_text("x"),
            "cloud_init_invalid",
            2,
        ),
        (lambda f: (f / ".azure" / "dev" / ".env").unlink(), "azd_environment_not_found", 3),
        (lambda f: (f / "azure.yaml").unlink(), "azd_project_not_found", 3),
        (lambda f: (f / "infra" / "main.json").unlink(), "file_not_found", 3),
        (lambda f: (f / "infra" / "main.parameters.json").unlink(), "file_not_found", 3),
    ],
)
def test_bad_input_is_one_clear_error_and_nothing_is_set(
    folder: Path, spoil: Any, code: str, exit_code: int
) -> None:
    spoil(folder)
    ran = run(runtime_in(folder), "hook", "preprovision", "-o", "json")
    assert ran.code == exit_code
    assert ran.envelope["errors"][0]["code"] == code
    assert ran.envelope["errors"][0]["suggestion"]
    assert ran.stderr.startswith("ERROR: ")
    assert len(ran.stderr.splitlines()) == 2
    assert calls(folder) == []


def test_windows_is_warned_of_a_value_that_it_cannot_hand_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "WINDOWS_LIMIT", 100)
    ran = run(runtime_in(folder, OS="Windows_NT"), "hook", "preprovision")
    assert "(!) Warning: CLOUD_INIT_FWD has" in ran.stderr
    assert ran.code == 0


TOPOLOGY = {
    "version": 1,
    "resourceGroup": "rg-dev",
    "hub": {"jump": "ci-hub", "scaleSet": "vmss"},
    "spokes": [{"name": name, "jump": f"ci-{name}"} for name in ("one", "two")],
}
SCALE_SET = f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/vmss"
INSTANCES = f"{SCALE_SET}/virtualMachines"


def scale_set(arm: FakeArm, user_data: dict[str, str], programs: dict[str, str] | None = None) -> None:
    """A scale set whose model has the user data `new` and the programs `2`, and instances with others."""
    tags = {"fwdctl-config-hash": "2"}
    arm.on("GET", SCALE_SET, {"tags": tags, "properties": {"virtualMachineProfile": {"userData": "new"}}})
    documents = {
        number: {
            "instanceId": number,
            "tags": {"fwdctl-config-hash": (programs or {}).get(number, "2")},
            "properties": {"vmId": number, "latestModelApplied": False},
        }
        for number in user_data
    }
    arm.on("GET", INSTANCES, {"value": list(documents.values())})
    for number, document in documents.items():
        shown = {**document, "properties": {"vmId": number, "userData": user_data[number]}}
        arm.on("GET", f"{INSTANCES}/{number}", shown)


@pytest.fixture
def provisioned(tmp_path: Path, arm: FakeArm, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """A deployment with three boxes, the first of which runs, and forwarders that are up to date."""
    monkeypatch.setattr("fwdctl.azure.credential.log_in", lambda *_: arm.login())
    states = {"ci-hub": "Running", "ci-one": "Stopped"}
    for name, state in states.items():
        arm.on("GET", f"{CONTAINERS}/{name}", container_group(name, state))
    arm.on("POST", f"{CONTAINERS}/ci-hub/stop", (204, None, {}))
    arm.fail("GET", f"{CONTAINERS}/ci-two", 404, "ResourceNotFound")
    scale_set(arm, {"0": "new"})
    environ = {"RESOURCE_GROUP_NAME": "rg-dev", "FWD_TOPOLOGY": json.dumps(TOPOLOGY)}
    return make_runtime(tmp_path, environ)


def test_boxes_that_need_no_stop_are_reported_and_no_failure(provisioned: Runtime) -> None:
    ran = run(provisioned, "hook", "postprovision", "-o", "json")
    assert ran.code == 0
    assert "(✓) Done: Jump box hub stopped" in ran.stderr
    assert ran.stderr.count("(-) Skipped: Jump box") == 2
    assert "fwdctl probe spoke" in ran.stderr
    assert ran.envelope["data"]["boxes"] == [
        {"name": "hub", "stopped": True, "note": "", "failed": False},
        {"name": "one", "stopped": False, "note": "already stopped", "failed": False},
        {"name": "two", "stopped": False, "note": "missing", "failed": False},
    ]
    assert ran.envelope["data"]["outdatedForwarders"] == []


def test_without_spokes_the_hook_says_how_others_connect(provisioned: Runtime, arm: FakeArm) -> None:
    hub = {**TOPOLOGY["hub"], "privateLinkService": "pl"}  # type: ignore[dict-item]
    provisioned.environ["FWD_TOPOLOGY"] = json.dumps({**TOPOLOGY, "hub": hub, "spokes": []})  # type: ignore[index]
    service = f"{GROUP}/providers/Microsoft.Network/privateLinkServices/pl"
    arm.on("GET", f"{GROUP}/resources", {"value": []})
    arm.on("GET", service, {"properties": {"alias": "pl.guid.westeurope.azure.privatelinkservice"}})
    ran = run(provisioned, "hook", "postprovision")
    assert ran.code == 0
    assert "fwdctl probe hub" in ran.stderr
    assert "fwdctl probe spoke" not in ran.stderr
    assert f"       {service}\n" in ran.stderr
    assert ran.stderr.endswith("       pl.guid.westeurope.azure.privatelinkservice\n")
    arm.fail("GET", service, 403, "AuthorizationFailed")
    ran = run(provisioned, "hook", "postprovision")
    assert ran.code == 0
    assert "       unknown: " in ran.stderr


def test_a_box_that_could_not_be_stopped_is_a_failure(provisioned: Runtime, arm: FakeArm) -> None:
    arm.fail("GET", f"{CONTAINERS}/ci-two", 403, "AuthorizationFailed", "why")
    ran = run(provisioned, "hook", "postprovision", "-o", "json")
    assert ran.code == 1
    assert ran.envelope["data"]["boxes"][2] == {"name": "two", "stopped": False, "note": "", "failed": True}
    (error,) = ran.envelope["errors"]
    assert error["code"] == "jump_stop_failed"
    assert error["message"].startswith("Jump box two was not stopped: No permission for 'ci-two'")
    assert error["suggestion"].startswith("Stop it with `fwdctl jump stop two`")


def test_boxes_that_nobody_has_written_down_are_no_success(provisioned: Runtime) -> None:
    del provisioned.environ["FWD_TOPOLOGY"]  # type: ignore[attr-defined]
    ran = run(provisioned, "hook", "postprovision", "-o", "json")
    assert (ran.code, ran.envelope["errors"][0]["code"]) == (3, "no_jump_box")


def test_forwarders_get_the_user_data_that_they_lack_and_nothing_else(
    provisioned: Runtime, arm: FakeArm
) -> None:
    scale_set(arm, {"0": "new", "1": "old", "2": ""})
    put: list[Any] = []
    for number in ("1", "2"):
        arm.routes["PUT", f"{INSTANCES}/{number}".lower()] = lambda body: (put.append(body), (200, body, {}))[
            1
        ]  # type: ignore[func-returns-value]
    ran = run(provisioned, "hook", "postprovision", "-o", "json")
    assert ran.code == 0
    assert "(✓) Done: Forwarders 1 2 have the new configuration" in ran.stderr
    assert "reimage" not in ran.stderr
    assert sorted(body["instanceId"] for body in put) == ["1", "2"]
    for body in put:
        assert body["properties"] == {"vmId": body["instanceId"], "userData": "new"}
    outcomes = {each["instance"]: each["outcome"] for each in ran.envelope["data"]["forwarders"]}
    assert outcomes == {"0": "same", "1": "handed", "2": "handed"}
    assert ran.envelope["data"]["outdatedForwarders"] == []


def test_forwarders_with_an_earlier_agent_are_told_with_what_to_run(
    provisioned: Runtime, arm: FakeArm
) -> None:
    scale_set(arm, {"0": "new", "1": "new", "2": "new"}, {"0": "1", "2": "1"})
    ran = run(provisioned, "hook", "postprovision", "-o", "json")
    assert "Next:  fwdctl forwarder rollout     forwarders 0 2 have the agent of before;" in ran.stderr
    assert ran.envelope["data"]["outdatedForwarders"] == ["0", "2"]
    assert "(-) Skipped: Forwarders: the configuration is unchanged" in ran.stderr
    assert ran.code == 0


def test_a_forwarder_that_takes_nothing_is_a_warning_and_costs_the_others_nothing(
    provisioned: Runtime, arm: FakeArm
) -> None:
    scale_set(arm, {"0": "old", "1": "old"})
    arm.fail("PUT", f"{INSTANCES}/0", 403, "AuthorizationFailed", "why")
    arm.on("PUT", f"{INSTANCES}/1", {})
    ran = run(provisioned, "hook", "postprovision")
    assert ran.code == 0
    assert "(!) Warning: Forwarder 0 keeps its configuration of before:" in ran.stderr
    assert "(✓) Done: Forwarders 1 have the new configuration" in ran.stderr


def test_forwarders_that_cannot_be_asked_are_no_failure(provisioned: Runtime, arm: FakeArm) -> None:
    arm.fail("GET", SCALE_SET, 403, "AuthorizationFailed")
    ran = run(provisioned, "hook", "postprovision")
    assert ran.code == 0
    assert "(!) Warning: Whether the forwarders run this configuration is not known" in ran.stderr


def test_env_show_shortens_what_is_secret(folder: Path) -> None:
    run(runtime_in(folder), "hook", "preprovision")
    with (folder / ".azure" / "dev" / ".env").open("a") as stream:
        stream.write('DB_PASSWORD="hunter2hunter2"\nRESOURCE_TOKEN="abc123"\nAZURE_LOCATION="westeurope"\n')
    for words in ((), ("-o", "json")):
        ran = run(runtime_in(folder), "env", "show", *words)
        assert ran.code == 0
        printed = ran.stdout + ran.stderr
        assert "hunter2hunter2" not in printed
        assert ED25519.split()[1] not in printed
        assert "I2Nsb3Vk" not in printed
        assert "abc123" in printed
        assert "westeurope" in printed


def test_env_check_says_what_is_missing_and_which_step_sets_it(folder: Path) -> None:
    ran = run(runtime_in(folder), "env", "check", "-o", "json")
    assert ran.code == 3
    assert ran.envelope["errors"][0]["code"] == "not_provisioned"
    steps = {check["name"]: check["setBy"] for check in ran.envelope["data"]["checks"]}
    assert steps["CLOUD_INIT_FWD"] == "azd hooks run preprovision"
    assert steps["FWD_TOPOLOGY"] == "azd provision"
    assert ran.envelope["data"]["missing"] == list(steps)


def test_existing_networks_are_looked_at_before_anything_is_deployed(
    folder: Path, arm: FakeArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = {
        **json.loads((folder / "infra" / "main.parameters.json").read_text())["parameters"]["hub"]["value"]
    }
    network = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/hub"
    edit(folder, "hub", {**hub, "existing": {"subnetId": f"{network}/subnets/fwd"}})
    edit(folder, "deployOnPremServers", value=False)
    ran = run(runtime_in(folder), "hook", "preprovision")  # nobody is logged in
    assert (ran.code, "Warning: Whether Azure will take the parameters is not known" in ran.stderr) == (
        0,
        True,
    )
    monkeypatch.setattr("fwdctl.azure.credential.log_in", lambda *_: arm.login())
    arm.fail("GET", network, 404, "ResourceNotFound")
    ran = run(runtime_in(folder), "hook", "preprovision")
    assert ran.code == 2
    assert f"hub.existing.subnetId: does not exist: {network}/subnets/fwd" in ran.stderr


def test_env_check_says_what_is_wrong_in_the_parameters(folder: Path) -> None:
    edit(folder, "forwards", [{"name": "web", "port": 18099, "targets": ["192.168.42.65:8000"]}])
    ran = run(runtime_in(folder), "env", "check", "-o", "json")
    assert ran.code == 2
    wrong, missing = ran.envelope["errors"]
    assert (wrong["code"], missing["code"]) == ("parameters_invalid", "not_provisioned")
    assert "main.parameters.json: forwards[0].port: 18099 is the forwarders' own" in wrong["message"]


def test_suggested_commands_repeat_what_chose_the_environment(folder: Path, tmp_path: Path) -> None:
    (folder / ".azure" / "other").mkdir()
    (folder / ".azure" / "other" / ".env").write_text('SSH_PUBLIC_KEY="x"\nCLOUD_INIT_FWD="x"\n')
    elsewhere = make_runtime(tmp_path / "notes", {"AZURE_SUBSCRIPTION_ID": "s", "AZURE_LOCATION": "l"})
    ran = run(elsewhere, "env", "check", "-e", "other", "--cwd", "..")
    where = f"--cwd {tmp_path / 'notes' / '..'}"
    assert f"azd provision -e other {where}" in ran.stdout
    assert ran.stderr.endswith(
        f"Suggestion: Run `azd hooks run preprovision -e other {where}`; "
        f"`azd up -e other {where}` takes every step.\n"
    )


def test_env_check_is_content_with_a_provisioned_environment(folder: Path) -> None:
    run(runtime_in(folder), "hook", "preprovision")
    with (folder / ".azure" / "dev" / ".env").open("a") as stream:
        names = ("RESOURCE_GROUP_NAME", "RESOURCE_TOKEN", "HUB_JUMP_NAME", "SPOKE_JUMP_NAME", "FWD_TOPOLOGY")
        stream.writelines(f'{name}="x"\n' for name in names if name != "SPOKE_JUMP_NAME")
        stream.write('SPOKE_JUMP_NAME=""\n')  # a hub without spokes
    environ = {"AZURE_SUBSCRIPTION_ID": "s", "AZURE_LOCATION": "l"}
    ran = run(runtime_in(folder, **environ), "env", "check")
    assert ran.code == 0
    assert max(len(line) for line in ran.stdout.splitlines()) <= 80
