"""Help: at every command, with examples, quick, and without what it does not need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import typer

from fwdctl.cli import registry
from fwdctl.main import main
from support.frame import project

if TYPE_CHECKING:
    from pathlib import Path


def commands_of(name: str) -> list[tuple[str, ...]]:
    """The words of a group and of each of its commands; `probe` is a command by itself."""
    loaded: Any = typer.main.get_command(registry.load(name))
    return [(name,), *((name, command) for command in getattr(loaded, "commands", ()))]


def fwdctl(*words: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fwdctl", *words],
        env={**os.environ, "COLUMNS": "80", **environ},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("group", ["", *registry.OWN, "lab"])
def test_help_has_an_example_and_fits_80_columns(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in commands_of(group) if group else [()]:
        assert main([*words, "--help"]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        assert printed.out.startswith(f"Usage: {' '.join(('fwdctl', *words))} ")
        text, _, examples = printed.out.partition("Example")
        assert "fwdctl" in examples, words
        assert [line for line in printed.out.splitlines() if len(line) > 80] == [], words
        assert "..." not in text.partition("\nCommands:")[2], words


@pytest.mark.parametrize("words", [(), ("env",)])
def test_a_missing_command_is_a_usage_error_with_the_help_on_stderr(words: tuple[str, ...]) -> None:
    done = fwdctl(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Usage: fwdctl")


def test_version() -> None:
    assert fwdctl("--version").stdout.startswith("fwdctl ")


def register(site: Path, module: str, source: str) -> dict[str, str]:
    """Install a package that registers `fwdctl extra`; the environment in which it is found."""
    (site / "vendor").mkdir(parents=True)
    (site / "vendor" / "__init__.py").write_text("raise SystemExit('vendor was imported')\n")
    (site / module).write_text(source)
    metadata = site / "vendor_extra-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vendor-extra\nVersion: 1\n")
    name = module.removesuffix(".py").replace("/", ".")
    (metadata / "entry_points.txt").write_text(f"[fwdctl.commands]\nextra = {name}:app\n")
    return {"PYTHONPATH": str(site)}


EXTRA = '''"""Say hello.

More about it.
"""
import sys
from fwdctl.cli.command import Call, command
from fwdctl.cli.group import group
from fwdctl.cli.options import OUTPUT
from fwdctl.output import Result
app = group("Say hello.", examples="fwdctl extra hello")
@command(app, "extra hello", OUTPUT)
def hello(call: Call, name: str) -> Result:
    """Greet somebody."""
    return Result({"hello": name})
@command(app, "extra bye")
def bye(call: Call) -> Result:
    """Say goodbye."""
    return Result(None)
'''


def test_a_registered_group_is_listed_without_being_imported(tmp_path: Path) -> None:
    environ = register(tmp_path, "vendor/extra.py", EXTRA)
    done = fwdctl("--help", **environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  extra      Say hello.\n" in done.stdout
    assert complete(tmp_path, "fwdctl ext", **environ) == ["extra"]
    assert "Did you mean 'extra'?" in fwdctl("extr", **environ).stderr


def test_a_registered_group_runs_when_used(tmp_path: Path) -> None:
    environ = register(tmp_path, "extra.py", EXTRA)
    assert "Greet somebody." in fwdctl("extra", "--help", **environ).stdout
    done = fwdctl("extra", "hello", "you", "-o", "json", **environ)
    envelope = json.loads(done.stdout)
    assert (done.returncode, envelope["command"], envelope["data"]) == (0, "extra hello", {"hello": "you"})
    assert complete(tmp_path, "fwdctl extra h", **environ) == ["hello"]


def test_a_registered_group_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    environ = register(tmp_path, "extra.py", "import no_such_module")
    assert "  extra" in fwdctl("--help", **environ).stdout
    done = fwdctl("extra", "hello", "-o", "json", **environ)
    (error,) = json.loads(done.stdout)["errors"]
    assert (done.returncode, error["code"]) == (3, "command_not_loaded")
    assert "`fwdctl extra` cannot be loaded from extra:app: ModuleNotFoundError" in error["message"]
    assert "vendor-extra" in error["suggestion"]
    assert complete(tmp_path, "fwdctl extra h", **environ) == []


def test_our_own_groups_are_found_without_asking_for_others() -> None:
    program = (
        "import sys\nfrom fwdctl.cli import registry\nfrom fwdctl.main import main\n"
        "registry.registered = lambda: sys.exit('asked for others')\n"
        "sys.exit(main(['probe', '--help']))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize(
    "words", [["--help"], ["env", "--help"], ["jump", "--help"], ["link", "--help"], ["probe", "--help"]]
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    program = (
        "import sys\nfrom fwdctl.main import main\n"
        f"code = main({words!r})\n"
        "heavy = {'azure', 'msal', 'knack', 'aiohttp', 'rich', 'websockets', 'yaml', 'dotenv', 'requests', 'asyncio'}\n"
        "loaded = sorted(heavy & {name.partition('.')[0] for name in sys.modules})\n"
        "sys.exit(f'loaded {loaded}' if loaded else code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words", [["probe", "spoke"], ["jump", "exec", "spoke", "--", "id", "-u"], ["jump", "status"]]
)
def test_values_that_need_no_conversion_load_no_library_for_it(tmp_path: Path, words: list[str]) -> None:
    """A release of Typer that converts in another way would cost a warm probe 40 ms, unnoticed."""
    program = (
        "import sys\nfrom fwdctl.main import main\n"
        f"code = main({words!r})\n"
        "sys.exit('loaded pydantic' if 'pydantic' in sys.modules else code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert "No azd project" in done.stderr
    assert "loaded" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--samples", "x"], "valid integer"),
        (["--samples", "201"], "less than or equal to 200"),
        (["--samples", "0"], "greater than or equal to 1"),
        (["--timeout", "soon"], "valid number"),
        (["-o", "xml"], "'xml' is not one of 'table', 'json', 'junit'"),
    ],
)
def test_values_that_cannot_be_converted_are_named(words: list[str], message: str) -> None:
    done = fwdctl("probe", "spoke", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert words[0] in done.stderr


def test_completion_offers_commands_and_environments(tmp_path: Path) -> None:
    project(tmp_path, name="production")
    (tmp_path / ".azure" / "staging").mkdir()
    (tmp_path / ".azure" / "staging" / ".env").write_text("A=1\n")

    def complete(line: str, index: int) -> list[str]:
        done = fwdctl(cwd=tmp_path, _FWDCTL_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(index))
        return done.stdout.split()

    assert complete("fwdctl e", 1) == ["env"]
    assert "show" in complete("fwdctl env s", 2)
    assert complete("fwdctl env show -e ", 4) == ["production", "staging"]
    assert complete("fwdctl env show -e st", 4) == ["staging"]


@pytest.mark.parametrize("line", ["fwdctl env show -e ", "fwdctl forwarder restart --instance "])
def test_completion_outside_a_project_is_silent(tmp_path: Path, line: str) -> None:
    assert complete(tmp_path, line) == []


def complete(cwd: Path, line: str, **environ: str) -> list[str]:
    """What bash would offer at the end of a line; never anything on stderr."""
    done = fwdctl(
        cwd=cwd,
        _FWDCTL_COMPLETE="complete_bash",
        COMP_WORDS=line,
        COMP_CWORD=str(line.count(" ")),
        **environ,
    )
    assert done.stderr == ""
    return done.stdout.split()


def topology(*spokes: str) -> str:
    boxes = [{"name": name, "jump": f"ci-{name}", "container": "jump"} for name in spokes]
    return json.dumps(
        {
            "version": 1,
            "resourceGroup": "rg-dev",
            "hub": {"jump": "ci-hub", "container": "jump"},
            "spokes": boxes,
        }
    )


def quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


@pytest.mark.parametrize("command", ["jump status", "jump start", "jump stop", "probe"])
def test_completion_offers_the_boxes_of_the_selected_environment(tmp_path: Path, command: str) -> None:
    project(tmp_path, f"RESOURCE_GROUP_NAME=rg-dev\nFWD_TOPOLOGY={quoted(topology('shop', 'sap'))}\n")
    assert complete(tmp_path, f"fwdctl {command} ") == ["hub", "spoke", "all", "shop", "sap"]
    assert complete(tmp_path, f"fwdctl {command} s") == ["spoke", "shop", "sap"]
    assert complete(tmp_path, f"fwdctl {command} -g rg-other ") == ["hub", "spoke", "all"]


@pytest.mark.parametrize("command", ["jump exec", "jump shell"])
def test_completion_offers_one_box_where_one_is_meant(tmp_path: Path, command: str) -> None:
    environ = {"RESOURCE_GROUP_NAME": "rg-lab", "FWD_TOPOLOGY": topology("shop", "sap")}
    assert complete(tmp_path, f"fwdctl {command} ", **environ) == ["hub", "shop", "sap"]
    environ["FWD_TOPOLOGY"] = topology("spoke")
    assert complete(tmp_path, f"fwdctl {command} ", **environ) == ["hub", "spoke"]


@pytest.mark.parametrize(
    "text", ["FWD_TOPOLOGY=[", 'FWD_TOPOLOGY="{\\"version\\": 1}"', "this is = no line '", ""]
)
def test_completion_in_a_broken_environment_offers_the_words(tmp_path: Path, text: str) -> None:
    project(tmp_path, f"RESOURCE_GROUP_NAME=rg-dev\n{text}\n")
    assert complete(tmp_path, "fwdctl jump start ") == ["hub", "spoke", "all"]


def test_completion_of_boxes_takes_the_named_environment(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / ".azure" / "other").mkdir()
    (tmp_path / ".azure" / "other" / ".env").write_text(
        f"RESOURCE_GROUP_NAME=rg-dev\nFWD_TOPOLOGY={quoted(topology('shop'))}\n"
    )
    assert complete(tmp_path, "fwdctl jump start -e other s") == ["spoke", "shop"]
    here = tmp_path / "elsewhere"
    here.mkdir()
    assert complete(here, "fwdctl -C .. jump start -e other s") == ["spoke", "shop"]


@pytest.mark.skipif(sys.platform != "linux", reason="the lab needs Linux")
def test_completion_of_the_lab(tmp_path: Path) -> None:
    for name in ("lab", "second"):
        folder = tmp_path / "fwdctl" / "labs" / name
        folder.mkdir(parents=True)
        (folder / "lab.json").write_text("{}")
        (folder / "lock").write_text("")
    state = {"XDG_STATE_HOME": str(tmp_path)}
    assert complete(tmp_path, "fwdctl lab break target-", **state) == ["target-down", "target-refuses"]
    assert complete(tmp_path, "fwdctl lab status --name ", **state) == ["lab", "second"]
    assert complete(tmp_path, "fwdctl lab shell ", **state) == []
    assert complete(tmp_path, "fwdctl lab heal ", **state) == []
    assert complete(tmp_path, "fwdctl lab heal --name NO ", **state) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the lab needs Linux")
def test_completion_of_nodes_and_of_faults_in_force_asks_the_lab_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fwdlab.cli import group, labs
    from fwdlab.cli.complete import complete_fault_in_force, complete_node

    asked = []

    class Client:
        def control(self, *words: str, seconds: float) -> Any:
            asked.append((words, seconds <= 1))
            return {"nodes": [{"name": "fwd000000"}, {"name": "web"}], "faults": ["nsg-deny", "target-down"]}

    monkeypatch.setattr(labs, "client_of", lambda name, _: {"lab": Client()}[name])
    context = typer.Context(typer.main.get_command(group.app))
    assert complete_node(context) == ["fwd000000", "web"]
    assert complete_fault_in_force(context) == ["nsg-deny", "target-down"]
    assert asked == [(("GET", "/lab/status"), True)] * 2


@pytest.mark.parametrize(
    "line", ["fwdctl jump start ", "fwdctl probe ", "fwdctl lab break ", "fwdctl lab shell "]
)
def test_completion_imports_nothing_heavy(tmp_path: Path, line: str) -> None:
    project(tmp_path, f"RESOURCE_GROUP_NAME=rg-dev\nFWD_TOPOLOGY={quoted(topology('shop'))}\n")
    program = (
        "import sys\nfrom fwdctl.main import main\n"
        "try:\n    main([])\nexcept SystemExit:\n    pass\n"
        "heavy = {'azure', 'msal', 'knack', 'aiohttp', 'rich', 'websockets', 'yaml', 'requests', 'cryptography'}\n"
        "loaded = sorted(heavy & {name.partition('.')[0] for name in sys.modules})\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)\n"
    )
    environ = {
        "_FWDCTL_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
        "XDG_STATE_HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environ},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
