from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from conftest import ROOT
from fwdctl.azd import envfile
from fwdctl.azd import environment as azd_environment
from fwdctl.errors import FwdctlError
from support.fake_program import write_program
from support.frame import make_runtime, project, run

if TYPE_CHECKING:
    from pathlib import Path

RECORDED = ROOT / "tests" / "contract" / "recordings" / "azd-env-files.json"

HOSTILE = {
    "QUOTES": "a b \"c\" $d `e` !f \\ g 'h'",
    "VARIABLES": "\\$HOME ${X} $(y) \\\\$. $AZURE_ENV_NAME",
    "LINES": "l1\nl2\r\nl3\r",
    "ZEROS": "007",
    "NUMBER": "12",
    "SIGNED": "+5",
    "EXPONENT": "1e6",
    "JSON": '{"a":"\\u003c\\"x\\""}',
    "UNICODE": "é漢 #no '\u2028\u0085",
    "EMPTY": "",
    "BLANKS": "  lead trail ",
    "LETTERS": "\\n \\t \\a \\!",
    "DASH": "-v",
    "TAB": "\t tab",
    "EQUALS": "=x=",
    "TICKS": "\\\\\\`",
}


def refused(runtime: object, wanted: str | None = None) -> FwdctlError:
    with pytest.raises(FwdctlError) as caught:
        azd_environment.load(runtime, wanted)  # type: ignore[arg-type]
    assert caught.value.exit_code == 3
    return caught.value


def test_project_is_found_upwards(tmp_path: Path) -> None:
    project(tmp_path)
    below = tmp_path / "hooks" / "deep"
    below.mkdir(parents=True)
    assert azd_environment.find_project(below) == tmp_path
    (tmp_path / "azure.yaml").rename(tmp_path / "azure.yml")
    assert azd_environment.find_project(below) == tmp_path


def test_no_project(tmp_path: Path) -> None:
    error = refused(make_runtime(tmp_path))
    assert error.code == "azd_project_not_found"
    assert error.message == f"No azd project: neither {tmp_path} nor a folder above it holds azure.yaml."


def test_no_environment_at_all(tmp_path: Path) -> None:
    (tmp_path / "azure.yaml").write_text("name: x\n")
    error = refused(make_runtime(tmp_path))
    assert error.message == f"No azd environment is selected in {tmp_path}."
    assert "There is none yet" in error.suggestion


@pytest.mark.parametrize("how", ["option", "variable", "default"])
def test_unknown_environment_lists_those_that_exist(tmp_path: Path, how: str) -> None:
    project(tmp_path, name="prod")
    project_file = tmp_path / ".azure" / "config.json"
    environ, wanted = {}, None
    if how == "option":
        wanted = "dev"
    elif how == "variable":
        environ = {"AZURE_ENV_NAME": "dev"}
    else:
        project_file.write_text('{"version":1,"defaultEnvironment":"dev"}')
    error = refused(make_runtime(tmp_path, environ), wanted)
    assert error.code == "azd_environment_not_found"
    assert "'dev'" in error.message
    assert error.suggestion.startswith("There are: prod.")


def test_a_name_with_a_path_in_it_reaches_no_other_folder(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / ".env").write_text("A=1\n")
    assert refused(make_runtime(tmp_path), "../").code == "azd_environment_not_found"


def test_choice_is_option_then_variable_then_default(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / ".azure" / name).mkdir(parents=True)
        (tmp_path / ".azure" / name / ".env").write_text(f'AZURE_ENV_NAME="{name}"\n')
    (tmp_path / "azure.yaml").write_text("name: x\n")
    (tmp_path / ".azure" / "config.json").write_text('{"defaultEnvironment":"three"}')
    environ = {"AZURE_ENV_NAME": "two"}
    assert azd_environment.load(make_runtime(tmp_path, environ), "one").name == "one"
    assert azd_environment.load(make_runtime(tmp_path, environ)).name == "two"
    assert azd_environment.load(make_runtime(tmp_path)).name == "three"
    assert azd_environment.list_environments(tmp_path) == ["one", "three", "two"]


def test_a_broken_selection_names_the_file(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / ".azure" / "config.json").write_text("{")
    assert str(tmp_path / ".azure" / "config.json") in refused(make_runtime(tmp_path)).message


def test_not_provisioned_names_what_is_missing(tmp_path: Path) -> None:
    project(tmp_path, 'RESOURCE_TOKEN="abc"\nHUB_JUMP_NAME=""\n')
    environment = azd_environment.load(make_runtime(tmp_path))
    with pytest.raises(FwdctlError) as caught:
        environment.require(["RESOURCE_TOKEN", "HUB_JUMP_NAME", "FWD_TOPOLOGY"])
    assert caught.value.exit_code == 3
    assert caught.value.message == (
        "The azd environment 'dev' is not provisioned: HUB_JUMP_NAME, FWD_TOPOLOGY not set."
    )
    assert "azd provision" in caught.value.suggestion


def test_values_stay_out_of_the_representation(tmp_path: Path) -> None:
    project(tmp_path, 'PASSWORD="hunter2"\n')
    assert "hunter2" not in repr(azd_environment.load(make_runtime(tmp_path)))


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], include_characters="\n\r\t")))
def test_reading_undoes_what_writing_escapes(value: str) -> None:
    assume(not value.endswith(("\\", '"')))
    assert envfile.parse(f'K="{azd_environment.escape(value)}"\n') == {"K": value}


@pytest.mark.parametrize(("text", "values"), json.loads(RECORDED.read_text("utf-8")))
def test_a_file_edited_by_hand_is_read_as_azd_reads_it(text: str, values: dict[str, str] | None) -> None:
    """What azd made of each file; null where it refused."""
    if values is None:
        with pytest.raises(ValueError, match=r"^line [12]: "):
            envfile.parse(text)
    else:
        assert envfile.parse(text) == values


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"A=1\nB-C=1\n", "line 2: '-' in the name of a value"),
        (b'A="x\n', 'line 1: a value without its closing "'),
        (b"\xef\xbb\xbfA=1\n", "it is in UTF-8 with a byte order mark"),
        ("A=1\n".encode("utf-16"), "it is in UTF-16"),
        ("A=1\n".encode("utf-16-le"), "it is in UTF-16 without a byte order mark"),
        ("A=\xe9\n".encode("latin-1"), "'utf-8' codec"),
    ],
)
def test_a_file_that_azd_cannot_read_is_named_with_the_reason(
    tmp_path: Path, content: bytes, words: str
) -> None:
    file = project(tmp_path) / ".azure" / "dev" / ".env"
    file.write_bytes(content)
    error = refused(make_runtime(tmp_path))
    assert error.code == "azd_environment_unreadable"
    assert str(file) in error.message
    assert words in error.message


def test_azd_missing(tmp_path: Path) -> None:
    runtime = make_runtime(project(tmp_path), {"PATH": str(tmp_path)})
    with pytest.raises(FwdctlError) as caught:
        azd_environment.set_values(runtime, azd_environment.load(runtime), {"A": "1"})
    assert (caught.value.code, caught.value.exit_code) == ("azd_not_found", 3)


def test_azd_failing_is_said_on_one_line_and_the_file_is_gone(tmp_path: Path) -> None:
    write_program(
        tmp_path,
        "azd",
        "import pathlib, sys\n"
        "pathlib.Path(__file__).with_name('azd.file').write_text(sys.argv[4])\n"
        "sys.exit('ERROR: locked' + chr(10) + 'really')\n",
    )
    runtime = make_runtime(project(tmp_path), {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"})
    with pytest.raises(FwdctlError) as caught:
        azd_environment.set_values(runtime, azd_environment.load(runtime), {"A": "1"})
    assert caught.value.message == "`azd env set` ended with exit code 1: ERROR: locked really"
    written = (tmp_path / "azd.file").read_text().strip()
    assert written
    assert not os.path.exists(written)  # noqa: PTH110 - the name as azd was given it


@pytest.mark.parametrize("value", ["x\\", 'say "x"', '"'])
def test_a_value_that_azd_would_spoil_is_refused(tmp_path: Path, value: str) -> None:
    runtime = make_runtime(project(tmp_path), {"PATH": os.environ["PATH"]})
    environment = azd_environment.load(runtime)
    with pytest.raises(FwdctlError, match="azd cannot keep A"):
        azd_environment.set_values(runtime, environment, {"A": value})


def test_a_terminal_obeys_no_value_of_the_environment(tmp_path: Path) -> None:
    ran = run(make_runtime(project(tmp_path, 'A="x\x1b]0;title\x07"\n')), "env", "show")
    assert ran.code == 0
    assert "x\\x1b]0;title\\x07" in ran.stdout
    assert "\x1b" not in ran.stdout


@pytest.fixture(scope="module")
def azd_environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """For the real azd."""
    config = tmp_path_factory.mktemp("azd-config")
    (config / "config.json").write_text('{"extension":{"sources":{}}}')
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "AZD_"))},
        "AZD_CONFIG_DIR": str(config),
        "AZURE_DEV_COLLECT_TELEMETRY": "no",
        "AZD_SKIP_UPDATE_CHECK": "true",
    }


def real_values(folder: Path, environ: dict[str, str]) -> dict[str, str] | None:
    """What azd reads; None where it refuses."""
    done = subprocess.run(
        ["azd", "env", "get-values", "--output", "json"],
        cwd=folder,
        env=environ,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


@pytest.mark.azd
def test_the_real_azd_agrees_on_hostile_values(tmp_path: Path, azd_environ: dict[str, str]) -> None:
    folder = project(tmp_path / "with blank")
    runtime = make_runtime(folder, azd_environ)
    azd_environment.set_values(runtime, azd_environment.load(runtime), HOSTILE)
    theirs = real_values(folder, azd_environ)
    assert theirs == {"AZURE_ENV_NAME": "dev", **HOSTILE}
    assert azd_environment.load(runtime).values == theirs


PIECES = st.sampled_from(
    [
        "A",
        "P",
        "=",
        ": ",
        "\n",
        "\r\n",
        '"',
        "'",
        "\\",
        "$P",
        "${P}",
        "$(",
        " #",
        "#",
        " ",
        "\t",
        "é",
        "export ",
    ]
)


@pytest.mark.azd
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES, max_size=12).map("".join))
def test_the_real_azd_agrees_on_files_of_any_shape(
    tmp_path: Path, azd_environ: dict[str, str], text: str
) -> None:
    if not (tmp_path / ".azure").exists():
        project(tmp_path)
    file = tmp_path / ".azure" / "dev" / ".env"
    file.write_text(f'AZURE_ENV_NAME="dev"\nP="p"\n{text}', encoding="utf-8", newline="")
    try:
        ours: dict[str, str] | None = azd_environment.read_values(file)
    except FwdctlError:
        ours = None
    assert ours == real_values(tmp_path, azd_environ)
