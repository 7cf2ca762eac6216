"""What `fwdctl lab` prints, and what it hands to a shell; no lab needed."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fwdctl.errors import FwdctlError
from fwdctl.output import OutputFormat, console
from fwdlab.cli import faults, health, labs, up, watch
from fwdlab.control.private_routes import PrivateRoutes
from fwdlab.errors import LabError
from fwdlab.machine.ports import Completed
from fwdlab.process.state import LabDirectory
from support.frame import make_runtime, run


def test_a_lab_is_shown_in_every_encoding(tmp_path: Path) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\n")
    runtime = make_runtime(tmp_path, stdout=stdout)
    state = SimpleNamespace(name="漢", base_url="https://x")
    data = {"nodes": [], "faults": ["\u2014"], "warnings": ["✓"]}
    watch._print_status(console(runtime, stdout), state, data)  # type: ignore[arg-type]
    watch._print_requests(runtime, [{"event": "refused", "host": "漢"}], OutputFormat.table)
    said = {"stdout": "漢\n", "stderr": "", "returncode": 3}
    client = SimpleNamespace(control=lambda *_, **__: said)
    assert watch._run_in(runtime, client, "hub", ["x"]).exit_code == 3  # type: ignore[arg-type]
    stdout.seek(0)
    assert stdout.read().count("\\u6f22") == 3


def test_what_cloud_init_did_not_do_is_said_by_node(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    state = SimpleNamespace(name="lab", base_url="https://x")
    row = {"network": "n", "address": "a", "state": "running", "health": "-", "error": ""}
    nodes = [{**row, "name": name, "warnings": ["packages are not installed: nginx"]} for name in ("a", "b")]
    nodes.append({**row, "name": "c", "error": "runcmd ended with 1", "warnings": []})
    data = {"nodes": nodes, "faults": [], "warnings": []}
    watch._print_status(console(runtime, runtime.stdout), state, data)  # type: ignore[arg-type]
    said = runtime.stdout.getvalue()  # type: ignore[attr-defined]
    assert "Cloud-init of a, b: packages are not installed: nginx" in said
    assert "Cloud-init of c: runcmd ended with 1" in said


def test_a_lab_says_all_that_a_test_needs() -> None:
    environment = {"AZURE_CONFIG_DIR": "/lab/azure"}
    state = SimpleNamespace(name="a", base_url="https://x", outputs={"OUT": "1"}, environment=environment)
    data = up._up_result(SimpleNamespace(state=state), "a").data  # type: ignore[arg-type]
    assert data["variables"] == {**environment, "OUT": "1", "FWDCTL_LAB": "a"}


@pytest.mark.parametrize("shell", ["sh", "bash --posix", "bash", "zsh"])
def test_a_shell_uses_the_lab_and_gets_its_own_settings_back(tmp_path: Path, shell: str) -> None:
    argv = shell.split()
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{argv[0]} is not installed")
    environ = {"AZURE_CONFIG_DIR": "it's mine", "PATH": "/usr/bin:/bin"}
    runtime = make_runtime(tmp_path, environ)
    up._print_shell(
        console(runtime, runtime.stdout), {"AZURE_CONFIG_DIR": "a b", "FWDCTL_LAB": "lab"}, runtime
    )
    lines = runtime.stdout.getvalue()  # type: ignore[attr-defined]
    show = 'echo "$AZURE_CONFIG_DIR ${FWDCTL_LAB-none}"'
    script = f'eval "$LINES_OF_LAB"; {show}; fwdctl_lab_off; {show}'
    done = subprocess.run(
        [*argv, "-c", script],
        env={**environ, "LINES_OF_LAB": lines},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "a b lab\nit's mine none\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="the lab needs Linux")
@pytest.mark.parametrize(("well_after", "code"), [(55, 0), (65, 5)])
def test_heal_waits_for_health_and_says_where_it_is_not_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, well_after: float, code: int
) -> None:
    now = [0.0]
    answers = {
        "/lab/heal": {"healed": ["target-down"]},
        "/lab/status": {"health": [{}], "nodes": [], "faults": []},
    }
    client = SimpleNamespace(control=lambda _, path, *__, **___: dict(answers[path]))
    monkeypatch.setattr(faults, "client_of", lambda *_: client)
    monkeypatch.setattr(health, "_healthy", lambda _: now[0] >= well_after)
    runtime = make_runtime(
        tmp_path, clock=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds)
    )
    ran = run(runtime, "lab", "heal", "-o", "json")
    status = "inconclusive" if code else "succeeded"
    assert (ran.code, ran.envelope["exitCode"], ran.envelope["status"]) == (code, code, status)
    assert ran.envelope["data"] == {"healed": ["target-down"], "healthy": code == 0}
    assert ("(!) Warning: " in ran.stderr) == bool(code)


TARGET_UP = {"state": "up", "against": 0}
SUSPECTED = {"state": "up", "against": 1}
APPROACHING = "Up_Probe_ApproachingUnhealthyThreshold"


@pytest.mark.parametrize(
    ("reason", "targets", "healthy"),
    [
        ("Up_Probe_Success", [TARGET_UP, TARGET_UP], True),
        ("Up_Probe_Success", [TARGET_UP, SUSPECTED], False),
        ("Up_Probe_Success", [TARGET_UP, {"state": "down", "against": 0}], False),
        ("Up_Probe_Success", [{"state": "unknown", "against": 0}], False),
        (APPROACHING, [TARGET_UP], False),
        ("Down_Probe_HttpStatusCodeError", [TARGET_UP], False),
    ],
)
def test_health_does_not_rest_on_a_verdict_that_is_about_to_change(
    reason: str,
    targets: list[dict[str, Any]],
    healthy: bool,  # noqa: FBT001
) -> None:
    backend = {"address": "10.0.1.6", "state": reason.partition("_")[0], "reason": reason}
    answers = {
        "/lab/status": {"health": [backend], "nodes": [{"name": "fwd", "address": "10.0.1.6"}]},
        "/lab/run": {"returncode": 0, "stdout": json.dumps({"forwards": [{"targets": targets}]})},
    }
    outputs = {"FWD_TOPOLOGY": json.dumps({"hub": {"healthPort": 18099}})}
    client = SimpleNamespace(
        control=lambda _, path, *__: answers[path], state=SimpleNamespace(outputs=outputs)
    )
    assert health._healthy(client) is healthy  # type: ignore[arg-type]


def test_the_agent_tells_what_contradicts_a_targets_state() -> None:
    agent = Path(__file__).parents[2] / "infra" / "cloud-init" / "forwarder" / "agent.py"
    assert '"against"' in agent.read_text("utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="the lab needs Linux")
@pytest.mark.parametrize(
    ("options", "meant"), [((), "own"), (("--name", "given"), "given"), (("--name", "lab"), "lab")]
)
@pytest.mark.parametrize(
    "words",
    [("status",), ("env",), ("break", "nsg-deny"), ("heal",), ("down",), ("log",), ("shell", "web", "true")],
)
def test_a_shell_prepared_for_a_lab_uses_that_lab(
    tmp_path: Path, words: tuple[str, ...], options: tuple[str, ...], meant: str
) -> None:
    runtime = make_runtime(tmp_path, {"HOME": str(tmp_path), "FWDCTL_LAB": "own"})
    ran = run(runtime, "lab", *words, *options)
    assert (ran.code, ran.stderr.splitlines()[0]) == (3, f"ERROR: The lab '{meant}' is not running.")


@pytest.mark.skipif(sys.platform != "linux", reason="the lab needs Linux")
def test_up_in_a_prepared_shell_is_about_that_lab_too(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "FWDCTL_LAB": "own"}
    held = LabDirectory("own", environ).hold()
    try:
        ran = run(make_runtime(tmp_path, environ), "lab", "up", "--empty")
    finally:
        os.close(held)
    assert (ran.code, ran.stderr.splitlines()[1]) == (2, "ERROR: The lab 'own' is already running.")


@pytest.mark.skipif(sys.platform != "linux", reason="the lab needs Linux")
@pytest.mark.parametrize(
    "words",
    [("up",), ("down",), ("env",), ("status",), ("log",), ("shell", "x"), ("break",), ("heal",), ("demo",)],
)
def test_without_the_extra_every_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    ran = run(make_runtime(tmp_path, {"HOME": str(tmp_path)}), "lab", *words)
    assert ran.code == 3
    assert ran.stderr.splitlines() == [
        "ERROR: The lab needs Python packages that are not installed: aiohttp.",
        "Suggestion: Run `pip install 'fwdctl[lab]'`.",
    ]


def test_without_the_extra_help_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in labs.PACKAGES:
        monkeypatch.setitem(sys.modules, name, None)
    assert run(make_runtime(tmp_path), "lab", "up", "--help").code == 0
    assert "Start the lab" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="the lab needs Linux")
@pytest.mark.parametrize(
    ("code", "exit_code"), [("lab_not_running", 3), ("fault_unknown", 2), ("lab_died", 1)]
)
def test_the_labs_errors_have_the_exit_codes_of_the_contract(code: str, exit_code: int) -> None:
    with pytest.raises(FwdctlError) as caught, labs.lab_errors():
        raise LabError(code, "It failed.", "Look.")
    error = caught.value
    assert (error.code, error.message, error.suggestion, error.exit_code) == (
        code,
        "It failed.",
        "Look.",
        exit_code,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the lab needs Linux")
def test_a_command_in_a_node_has_no_limit_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def control(_method: str, path: str, body: Any = None, *, seconds: float | None = 30) -> Any:
        asked.append((path, body, seconds))
        return {"returncode": 7, "stdout": "", "stderr": ""}

    monkeypatch.setattr(watch, "client_of", lambda *_: SimpleNamespace(control=control))
    ran = run(make_runtime(tmp_path), "lab", "shell", "web", "--", "sleep", "3600")
    command = {"node": "web", "argv": ["sleep", "3600"], "seconds": None}
    assert (ran.code, asked) == (7, [("/lab/run", command, None)])


@pytest.mark.skipif(sys.platform != "linux", reason="the lab needs Linux")
def test_the_lab_lets_it_run_as_long_as_it_is_told() -> None:
    given: list[float | None] = []

    async def carry_out(_node: str, _argv: list[str], *, seconds: float | None) -> Completed:
        given.append(seconds)
        return Completed(0, b"", b"")

    lab = SimpleNamespace(data_plane=SimpleNamespace(run=carry_out))
    for more in ({"seconds": None}, {}):
        request = SimpleNamespace(body={"node": "web", "argv": ["true"], **more})
        asyncio.run(PrivateRoutes.run(SimpleNamespace(lab=lab), request))  # type: ignore[arg-type]
    assert given == [None, 50]


@pytest.mark.parametrize(("name", "typed"), [("lab", "heal x"), ("other", "heal --name other x")])
def test_advice_is_about_the_same_lab(name: str, typed: str) -> None:
    with pytest.raises(FwdctlError) as caught, labs.lab_errors(name):
        raise LabError("fault_active", "It is in force already.", "Run `fwdctl lab heal x`.")
    assert caught.value.suggestion == f"Run `fwdctl lab {typed}`."
