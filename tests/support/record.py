"""Records what azd asks of ARM: `PYTHONPATH=tests python -m support.record [CHAIN …]`.

Runs the real azd against a lab and turns `fwdctl lab log -o json` into tests/contract/recordings/azd/NAME.json:
which requests came in which order and how they were answered. No token and no body is recorded; ids, names and times
become placeholders, so that tests/contract/test_arm_azd.py can ask the same of another lab.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conftest import ROOT
from support.azd_project import Project, copy_template, new_project
from support.programs import run
from support.terminal import CTRL_C, DOWN, ENTER, Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECORDINGS = ROOT / "tests" / "contract" / "recordings" / "azd"
_NESTED = re.compile(r"(?<=/deployments/)([A-Za-z]+(?:-\d+)?)-[a-z0-9]{13}(?=/|$)")
_TOKEN = re.compile(r"(?<=/)(log|kv)-[a-z0-9]{13}(?=/|$)")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_CODE = re.compile(r"^(?!TraceID)([A-Z][a-z]+[A-Z]\w+): ", re.MULTILINE)  # how azd prints an error of ARM
_SLOW = "resources-slow"

Line = dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """One command of azd.

    Attributes:
        name: of the recording.
        command: azd's arguments.
        parameters: those of main.parameters.json that change before it.
        exit: how azd must end.
        ends: in which state the deployment must end.
        fault: of the lab's table, in force meanwhile.
        template: `main`, or `vault`: the same with a key vault.
        act: runs the command, when that takes more than to start it; answers what azd printed.
    """

    name: str
    command: tuple[str, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    exit: int = 0
    ends: str = "Succeeded"
    fault: str = ""
    template: str = "main"
    act: Callable[[Project, Scene], str] | None = None


def _cancel_at_the_question(project: Project, scene: Scene) -> str:
    environ = {key: value for key, value in project.environ.items() if key != "CI"}
    with closing(Terminal(["azd", *scene.command], environ=environ, cwd=project.folder)) as terminal:
        terminal.until("Log Analytics")
        terminal.type(CTRL_C)
        terminal.until("Cancel the Azure deployment")
        terminal.type(DOWN)
        terminal.until("do? Cancel the Azure deployment")
        terminal.type(ENTER)
        assert terminal.end() == scene.exit, terminal.shown
        return ""


def _cancel_with_az(project: Project, scene: Scene) -> str:
    process = project.start_azd(*scene.command)
    try:
        deadline = time.monotonic() + 90
        while "/resourcegroups/rg-dev/deployments/" not in (log := json.dumps(_log(project))):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        name = re.findall(r"/deployments/(dev-\d+)", log)[-1]
        run(["az", "deployment", "sub", "cancel", "-n", name], environ=project.environ)
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == scene.exit, printed
    return printed


def _infra() -> dict[str, Any]:
    document = json.loads((ROOT / "infra" / "main.parameters.json").read_text())
    return {name: entry["value"] for name, entry in document["parameters"].items()}


def chains() -> dict[str, tuple[Scene, ...]]:
    """Scenes that follow each other in one lab, by the name of the first."""
    parameters = _infra()
    [web], [spoke] = parameters["forwards"], parameters["spokes"]
    two_forwards = {"forwards": [web, {**web, "name": "second", "port": 8001}]}
    up, provision = ("up", "--no-prompt"), ("provision", "--no-prompt")
    preview, down = ("provision", "--preview", "--no-prompt"), ("down", "--force", "--purge", "--no-prompt")
    found = (
        (
            Scene("up-fresh", up),
            Scene("up-unchanged", up),
            Scene("preview", preview, two_forwards),
            Scene("provision-changed", provision, two_forwards),
            Scene("env-refresh", ("env", "refresh", "--no-prompt")),
            Scene("show", ("show",)),
            Scene("down", down),
            Scene("down-again", down),
        ),
        (Scene("preview-fresh", preview),),
        (Scene("validate-failed", up, {"spokes": [{**spoke, "addressPrefix": "10.1.0.1/19"}]}, exit=1),),
        (
            Scene(
                "deployment-failed",
                up,
                {"spokes": [{**spoke, "endpointAddress": "10.9.0.4"}]},
                exit=1,
                ends="Failed",
            ),
            Scene("down-after-failure", down),
        ),
        (Scene("cancel", ("up",), exit=1, ends="Canceled", fault=_SLOW, act=_cancel_at_the_question),),
        (Scene("canceled-by-another", up, exit=1, ends="Canceled", fault=_SLOW, act=_cancel_with_az),),
        (Scene("up-vault", up, template="vault"), Scene("down-purge", down, template="vault")),
    )
    return {scenes[0].name: scenes for scenes in found}


@contextmanager
def _project() -> Iterator[Project]:
    """A project whose hooks have run and are gone, so that only azd speaks to the lab."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        with new_project(copy_template(home / "template"), home, "recorded") as project:
            project.azd("hooks", "run", "preprovision")
            azure_yaml = project.folder / "azure.yaml"
            azure_yaml.write_text(azure_yaml.read_text().partition("hooks:")[0])
            yield project


def _log(project: Project, after: int = 0) -> list[Line]:
    lines = project.lab.lab("log", "-o", "json").json["data"]["requests"]
    return [line for line in lines if line["n"] > after]


def _play(project: Project, scene: Scene) -> tuple[str, list[Line]]:
    """Run a scene; what azd printed and the log's lines of it."""
    for name, value in scene.parameters.items():
        project.edit_parameters(name, value)
    if scene.fault:
        project.lab.lab("break", scene.fault)
    last = max((line["n"] for line in _log(project)), default=0)
    if scene.act is not None:
        printed = scene.act(project, scene)
    else:
        done = project.azd(*scene.command, expect=scene.exit)
        printed = done.stdout + done.stderr
    lines = _log(project, last)
    if scene.fault:
        project.lab.lab("heal")
    return printed, lines


def requests(scene: Scene, lines: list[Line], names: dict[str, str], subscription: str) -> list[Line]:
    """The requests to ARM among a log's lines, each once between two changes, with placeholders.

    Args:
        scene: what was run.
        lines: of the log.
        names: placeholders of the deployments by name; grows.
        subscription: the lab's.
    """
    found: list[Line] = []
    since_change: dict[tuple[str, ...], Line] = {}
    for line in lines:
        if not re.match(r"/(subscriptions|tenants|providers)\b", line.get("path", "")):
            continue
        for name in re.findall(r"/deployments/(dev-\d+)", line["path"]):
            names.setdefault(name, f"{{deployment {scene.name}}}")
        request = {key: line[key] for key in ("method", "path", "query", "status")}
        request["path"] = _with_placeholders(line["path"], names, subscription)
        key = tuple(request[name] for name in ("method", "path", "query"))
        if line["method"] not in {"GET", "HEAD"}:
            since_change = {}
        elif key in since_change:
            since_change[key]["status"] = line["status"]  # of a poll, the last one counts
            continue
        since_change[key] = request
        found.append(request)
    for index, request in enumerate(found):
        if "{operation}" in request["path"]:
            later = found[index:]
            request["ends"] = not any(one["path"].endswith("/cancel") for one in later)
    return found


def _with_placeholders(path: str, names: dict[str, str], subscription: str) -> str:
    path = path.replace(subscription, "{subscription}")
    for name, placeholder in names.items():
        path = path.replace(f"/deployments/{name}", f"/deployments/{placeholder}")
    path = _NESTED.sub(r"{nested \1}", path)
    path = _TOKEN.sub(r"\1-{token}", path)
    return _GUID.sub("{operation}", path)


def _written(recording: dict[str, Any]) -> str:
    """JSON with a line for each request."""
    asked = ",\n".join(f"    {json.dumps(request)}" for request in recording["requests"])
    head = json.dumps({**recording, "requests": []}, indent=2).removesuffix("[]\n}")
    return f"{head}[\n{asked}\n  ]\n}}\n"


def record(scenes: tuple[Scene, ...]) -> None:
    """Play the scenes of a chain and write a recording of each."""
    before: list[str] = []
    names: dict[str, str] = {}
    with _project() as project:
        if scenes[0].template == "vault":
            project.add_vault()
        version = project.azd("version").stdout.split()[2]
        for scene in scenes:
            printed, lines = _play(project, scene)
            asked = requests(scene, lines, names, project.environ["AZURE_SUBSCRIPTION_ID"])
            recording: dict[str, Any] = {
                "azd": version,
                "command": " ".join(("azd", *scene.command)),
                "after": list(before),
                "exit": scene.exit,
                "parameters": scene.parameters,
                "template": scene.template,
                "fault": scene.fault,
                "ends": scene.ends,
                "errors": sorted(set(_CODE.findall(printed))),
                "requests": asked,
            }
            (RECORDINGS / f"{scene.name}.json").write_text(_written(recording))
            print(f"{scene.name}: {len(asked)} requests")  # noqa: T201 - the program's report
            if any(request["method"] == "PUT" for request in asked):
                before.append(scene.name)


if __name__ == "__main__":
    RECORDINGS.mkdir(parents=True, exist_ok=True)
    known = chains()
    for chosen in sys.argv[1:] or known:
        record(known[chosen])
