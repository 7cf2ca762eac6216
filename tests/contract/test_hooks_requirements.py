from __future__ import annotations

import tomllib

import pytest

from conftest import ROOT


def test_hooks_install_exactly_the_projects_dependencies() -> None:
    lines = (ROOT / "hooks" / "requirements.txt").read_text("utf-8").splitlines()
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert [line for line in lines if line and not line.startswith("#")] == wanted


@pytest.mark.parametrize("name", ["preprovision", "postprovision"])
def test_shims_are_short_and_named_in_azure_yaml(name: str) -> None:
    text = (ROOT / "hooks" / f"{name}.py").read_text("utf-8")
    assert len(text.splitlines()) <= 15
    assert f"run: hooks/{name}.py" in (ROOT / "azure.yaml").read_text("utf-8")


def test_no_project_file_in_the_hooks_folder_hides_the_list() -> None:
    """azd takes pyproject.toml before requirements.txt, and package.json would switch the installation off."""
    assert {path.name for path in (ROOT / "hooks").iterdir() if path.is_file()} == {
        "preprovision.py",
        "postprovision.py",
        "requirements.txt",
    }
