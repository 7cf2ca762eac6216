"""What Microsoft's template validation asks of a repository, and that the documents are right about this one.

Source: microsoft/template-validation-action, src/rules.json. What needs Azure (`azd up`) is not checked here.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import typer
import yaml

from conftest import ROOT
from fwdctl.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text("utf-8")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def code_blocks(text: str) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def anchors(file: Path) -> set[str]:
    """The ids that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.*)$", without_code(file.read_text("utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "LICENSE",
        "SECURITY.md",
        "CODE_OF_CONDUCT.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        ".github/ISSUE_TEMPLATE/bug.yml",
        ".github/workflows/azure-dev.yml",
        "azure.yaml",
        "infra/main.bicep",
        ".devcontainer/devcontainer.json",
    ],
)
def test_a_file_that_the_validation_asks_for_is_there(name: str) -> None:
    assert (ROOT / name).read_text("utf-8").strip()


def test_the_readme_has_the_sections_in_this_order() -> None:
    headings = re.findall(r"^##+ .*$", without_code(README), flags=re.MULTILINE)
    assert headings == [
        "## Features",
        "## Getting Started",
        "### Try it here, without Azure",
        "### Prerequisites",
        "### Quickstart",
        "### Install and probe",
        "## Guidance",
        "### Costs",
        "### Clean up",
        "### How it works",
        "### Security",
        "## Resources",
    ]


def test_the_first_commands_of_the_readme_are_scripts_that_there_are() -> None:
    commands = [line.split()[0] for line in code_blocks(README)[0].splitlines()]
    assert commands == ["scripts/demo", "scripts/test"]
    assert all((ROOT / command).is_file() for command in commands)


def test_the_topic_that_the_gallery_searches_for_is_named() -> None:
    assert "--add-topic azd-templates" in (ROOT / "CONTRIBUTING.md").read_text("utf-8")


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(file: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(file.read_text("utf-8"))):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = file.parent / path if path else file
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


UNQUOTED = r"(?=(?:[^']*'[^']*')*[^']*$)"
"""After something that stands outside single quotes."""


def commands_in(lines: list[str]) -> list[str]:
    """Each `fwdctl …` in some lines, without a comment, an explanation or what follows in a pipeline."""
    found = set()
    for line in lines:
        for command in re.split(rf"(?:[;|]|&&|\$\(){UNQUOTED}", line):
            if match := re.match(r"(?:\$ |time )?(fwdctl .*)", command.strip()):
                found.add(re.split(rf"(?:\s{{2,}}|\)\"?| >|…){UNQUOTED}", match[1])[0].strip())
    return sorted(found)


TEXTS = [file.read_text("utf-8") for file in DOCUMENTS]
TYPED = commands_in([line for text in TEXTS for block in code_blocks(text) for line in block.splitlines()])
NAMED = commands_in([code for text in TEXTS for code in re.findall(r"`([^`\n]+)`", without_code(text))])


def parse(words: list[str]) -> None:
    """Parse a command line as far as running the command, which is left out.

    Raises:
        Exception: Typer's usage error.
    """
    command: Any = typer.main.get_command(app)
    name, context = words[0], None
    rest = words[1:]
    while True:
        context = command.make_context(name, rest, parent=context)
        if not hasattr(command, "resolve_command"):
            return
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)


def test_the_documents_show_commands() -> None:
    assert {"fwdctl probe spoke", "fwdctl lab up --empty", "fwdctl lab env"} <= set(TYPED)


@pytest.mark.parametrize("line", sorted({*TYPED, *NAMED}))
def test_a_command_that_a_document_shows_can_be_parsed(line: str) -> None:
    words = shlex.split(re.sub(r"[\[\]]", "", line), comments=True)
    if sys.platform == "win32" and words[1] == "lab":
        pytest.skip("the lab is for Linux")
    if words[1].startswith("--"):
        options = [option for each in typer.main.get_command(app).params for option in each.opts]
        assert words[1] in [*options, "--help"]
        return
    try:
        parse(words)
    except Exception as error:
        # A sentence may name a command without its arguments, or a group without a command.
        incomplete = not getattr(error, "message", None) or type(error).__name__ == "MissingParameter"
        if line in TYPED or not incomplete:
            raise


def test_a_command_that_does_not_exist_is_noticed() -> None:
    for words in (["fwdctl", "prove", "spoke"], ["fwdctl", "probe", "spoke", "--sample", "3"]):
        with pytest.raises(Exception, match=r"No such|no such") as caught:
            parse(words)
        assert type(caught.value).__name__ in {"UsageError", "NoSuchOption"}


def test_the_workflows_test_the_oldest_python_that_is_supported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=")
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"]
    for job in jobs.values():
        assert job["strategy"]["matrix"]["python"][0] == oldest
    assert f"Python {oldest} or newer" in README


def test_the_pipeline_hands_azd_what_it_needs() -> None:
    text = (ROOT / ".github" / "workflows" / "azure-dev.yml").read_text("utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"]["id-token"] == "write"
    given = workflow["jobs"]["provision"]["env"]
    own = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))["pipeline"]["variables"]
    names = ["CLIENT_ID", "TENANT_ID", "SUBSCRIPTION_ID", "ENV_NAME", "LOCATION"]
    wanted = {*own, *(f"AZURE_{name}" for name in names)}
    assert given == {name: f"${{{{ vars.{name} }}}}" for name in wanted}
    assert "azd provision --no-prompt" in text


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_an_issue_form_has_what_github_requires(name: str) -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text("utf-8"))
    assert form["name"]
    assert form["description"]
    for part in form["body"]:
        assert "value" in part["attributes"] if part["type"] == "markdown" else part["attributes"]["label"]


def test_the_dev_container_has_azd_az_and_a_python_that_is_supported() -> None:
    text = (ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8")
    container = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert {"azd", "azure-cli"} <= {
        name.rpartition("/")[2].partition(":")[0] for name in container["features"]
    }
    version = re.search(r"python:3\.(\d+)", container["image"])
    assert version is not None
    assert int(version[1]) >= 11


def test_the_costs_add_up_and_fit_the_template() -> None:
    text = (ROOT / "docs" / "costs.md").read_text("utf-8")
    rows = [
        [cell.strip(" *") for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"
    ]
    months = {row[0]: row for row in rows if re.fullmatch(r"\d+\.\d\d", row[3])}
    total = float(months.pop("Sum")[3])
    assert round(sum(float(row[3]) for row in months.values()), 2) == total
    assert f"**{total:.0f} USD a month**" in README

    document = json.loads((ROOT / "infra" / "main.parameters.json").read_text("utf-8"))
    parameters = {name: parameter["value"] for name, parameter in document["parameters"].items()}
    machines = next(row for name, row in months.items() if parameters["forwarder"]["vmSize"] in name)
    assert int(machines[1]) == parameters["forwarder"]["instanceCount"] + len(parameters["corp"]["servers"])
