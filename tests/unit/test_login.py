"""Who we are in Azure: az's login, else azd's; a token is asked for once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from fwdctl.azure import credential
from fwdctl.azure.credential import Login, log_in
from fwdctl.errors import FwdctlError
from fwdctl.runtime import Runtime
from support.fake_program import write_program

if TYPE_CHECKING:
    from pathlib import Path


def test_az_may_be_logged_in_without_an_active_subscription() -> None:
    from knack.util import CLIError

    def none() -> str:
        raise CLIError("Please run 'az login' to setup account.")

    assert credential._active(SimpleNamespace(get_subscription_id=none)) == ""
    assert credential._active(SimpleNamespace(get_subscription_id=lambda: "s")) == "s"


def test_nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nobody(runtime: Runtime, wanted: str | None) -> Login:
        raise credential._NoAzLoginError("Please run 'az login' to setup account.")

    monkeypatch.setattr(credential, "_az_login", nobody)
    with pytest.raises(FwdctlError) as error:
        log_in(Runtime(environ={"PATH": str(tmp_path)}), "sub")
    assert (error.value.code, error.value.exit_code) == ("not_logged_in", 3)
    assert "az login" in error.value.suggestion
    assert "azd auth login" in error.value.suggestion


AZD = """
import pathlib, sys
asked = " ".join(sys.argv[1:])
if asked == "config get cloud.name":
    print('"AzureUSGovernment"')
elif asked.startswith("auth token"):
    pathlib.Path(__file__).with_name("asked").write_text(asked)
    print('{"token":"azd-token","expiresOn":"2099-01-01T00:00:00Z"}')
else:
    sys.exit(1)
"""


def test_azds_login_where_az_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nobody(runtime: Runtime, wanted: str | None) -> Login:
        raise credential._NoAzLoginError

    monkeypatch.setattr(credential, "_az_login", nobody)
    write_program(tmp_path, "azd", AZD)
    environ = {"PATH": str(tmp_path), "AZURE_SUBSCRIPTION_ID": "sub", "AZURE_TENANT_ID": "ten"}
    login = log_in(Runtime(environ=environ))
    assert (login.subscription_id, login.token()) == ("sub", "azd-token")
    assert login.endpoint == "https://management.usgovcloudapi.net"
    asked = (tmp_path / "asked").read_text()
    assert "--tenant-id ten" in asked
    assert "--scope https://management.usgovcloudapi.net/.default" in asked


def test_a_token_is_fetched_once_and_again_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = iter([1e3, 2e3])
    login = Login("s", "https://x", lambda _: ("t", next(ends)))
    monkeypatch.setattr("time.time", lambda: 500.0)
    login.token()
    login.token()
    monkeypatch.setattr("time.time", lambda: 900.0)
    login.token()
    assert next(ends, None) is None


def test_a_folder_of_azs_that_is_gone_is_named_and_not_made_anew(tmp_path: Path) -> None:
    gone = tmp_path / "azure"
    with pytest.raises(FwdctlError) as error:
        log_in(Runtime(environ={"AZURE_CONFIG_DIR": str(gone)}), "sub")
    assert (error.value.code, error.value.exit_code) == ("azure_config_missing", 3)
    assert str(gone) in error.value.message
    assert not gone.exists()


@pytest.mark.parametrize(
    ("active", "named"), [("S1", ""), ("s2", " --subscription s1"), ("", " --subscription s1")]
)
def test_a_command_of_az_names_its_subscription_where_az_would_mean_another(active: str, named: str) -> None:
    login = Login("s1", "https://x", lambda _: ("t", 9e9), active=active)
    assert login.az("container", "show", "-n", "a b") == f"az container show -n 'a b'{named}"
