from __future__ import annotations

import configparser
import json
import stat
from typing import TYPE_CHECKING

import pytest

from fwdlab.clients.credentials import Credentials
from fwdlab.clients.profile import Profile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return Profile("https://127.0.0.1:4043", 4044, tmp_path / "bundle.pem", tmp_path / "az", tmp_path / "azd")


def test_the_profile_logs_az_in(profile: Profile) -> None:
    credentials = Credentials()
    profile.write(credentials)
    clouds = configparser.ConfigParser()
    clouds.read(profile.az_directory / "clouds.config")
    settings = configparser.ConfigParser()
    settings.read(profile.az_directory / "config")
    assert settings["cloud"]["name"] in clouds
    cloud = clouds[settings["cloud"]["name"]]
    assert cloud["endpoint_resource_manager"] == profile.base_url
    assert cloud["endpoint_active_directory"] == f"{profile.base_url}/adfs"
    assert cloud["subscription"] == credentials.subscription_id
    stored = json.loads((profile.az_directory / "azureProfile.json").read_text(encoding="utf-8"))
    subscription = stored["subscriptions"][0]
    assert subscription["environmentName"] == settings["cloud"]["name"]
    assert subscription["user"] == {"name": credentials.client_id, "type": "servicePrincipal"}
    entries = json.loads(
        (profile.az_directory / "service_principal_entries.json").read_text(encoding="utf-8")
    )
    assert entries[0]["client_secret"] == credentials.client_secret


def test_azd_is_not_sent_to_the_extension_registry(profile: Profile) -> None:
    profile.write(Credentials())
    config = json.loads((profile.azd_directory / "config.json").read_text(encoding="utf-8"))
    assert config == {"extension": {"sources": {}}}


def test_nothing_that_is_written_is_readable_by_others(profile: Profile) -> None:
    profile.write(Credentials())
    profile.write(Credentials())
    for directory in (profile.az_directory, profile.azd_directory):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o600}


def test_the_environment_names_every_variable(profile: Profile) -> None:
    credentials = Credentials()
    found = profile.environment(credentials, {})
    assert (
        found["HTTPS_PROXY"]
        == found["https_proxy"]
        == (f"http://lab:{credentials.proxy_password}@127.0.0.1:4044")
    )
    assert found["REQUESTS_CA_BUNDLE"] == found["SSL_CERT_FILE"] == found["WEBSOCKET_CLIENT_CA_BUNDLE"]
    assert found["AZURE_SUBSCRIPTION_ID"] == credentials.subscription_id
    assert found["AZD_AUTH_ENDPOINT"] == "https://127.0.0.1:4043/azd"
    assert found["ARM_METADATA_HOSTNAME"] == "127.0.0.1:4043"
    assert found["ARM_SUBSCRIPTION_ID"] == credentials.subscription_id
    assert found["AZD_AUTH_KEY"] == credentials.azd_key
    assert credentials.client_secret not in found.values()


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_the_users_own_exceptions_from_the_proxy_stay(profile: Profile, name: str) -> None:
    found = profile.environment(Credentials(), {name: "corp.example"})
    assert found["NO_PROXY"] == found["no_proxy"] == "127.0.0.1,localhost,corp.example"
