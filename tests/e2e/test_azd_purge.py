"""The real azd and a key vault: `azd down` with and without `--purge`, and what `azd up` says after each."""

from __future__ import annotations

from typing import Any

import pytest

from support.azd_project import OF_AZD, Project
from support.programs import run

pytestmark = [*OF_AZD, pytest.mark.az, pytest.mark.timeout(300)]


def deleted_vaults(project: Project) -> list[dict[str, Any]]:
    listed = run(
        ["az", "keyvault", "list-deleted", "-o", "json"], environ=project.environ, cwd=project.folder
    )
    found: list[dict[str, Any]] = listed.json
    return found


def requests(project: Project) -> list[tuple[str, str, int]]:
    lines = project.lab.lab("log", "-o", "json").json["data"]["requests"]
    return [(line["method"], line["path"], line["status"]) for line in lines if "method" in line]


def test_down_with_purge_leaves_nothing(project: Project) -> None:
    project.add_vault()
    project.azd("up", "--no-prompt")
    name = project.values()["VAULT_NAME"]
    done = project.azd("down", "--force", "--purge", "--no-prompt")
    assert f"Purging Key Vault: {name}" in done.stdout
    asked = requests(project)
    (purge,) = [(path, status) for verb, path, status in asked if verb == "POST" and path.endswith("/purge")]
    place = f"/subscriptions/{project.environ['AZURE_SUBSCRIPTION_ID']}/providers/Microsoft.KeyVault"
    assert purge == (f"{place}/locations/westeurope/deletedVaults/{name}/purge", 202)
    polled = [
        status
        for _, path, status in asked
        if "/Microsoft.KeyVault/locations/westeurope/operationResults/" in path
    ]
    assert polled[-1] == 200
    # A workspace is deleted with force ahead of its group: https://learn.microsoft.com/rest/api/loganalytics
    assert any(verb == "DELETE" and "/workspaces/" in path and status == 200 for verb, path, status in asked)
    assert deleted_vaults(project) == []
    project.azd("up", "--no-prompt")
    assert project.values()["VAULT_NAME"] == name


def test_down_without_purge_keeps_the_name_taken(project: Project) -> None:
    project.add_vault()
    project.azd("up", "--no-prompt")
    name = project.values()["VAULT_NAME"]
    project.azd("down", "--force", "--no-prompt")
    (deleted,) = deleted_vaults(project)
    assert deleted["name"] == name
    assert deleted["properties"]["vaultId"].endswith(f"/rg-dev/providers/Microsoft.KeyVault/vaults/{name}")

    again = project.azd("up", "--no-prompt", expect=None)
    assert again.returncode == 1
    printed = again.stdout + again.stderr
    assert "ConflictError: A vault with the same name already exists in deleted state." in printed
    assert "possibly caused by a soft-deleted resource" in printed

    run(["az", "keyvault", "purge", "-n", name], environ=project.environ, cwd=project.folder)
    assert deleted_vaults(project) == []
    project.azd("up", "--no-prompt")
    assert project.topology()
    project.fwdctl("probe", "all")
