"""What az and azd need in order to reach the lab: their configuration directories and the environment."""

from __future__ import annotations

import configparser
import io
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fwdlab.clients.proxy import USER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fwdlab.clients.credentials import Credentials

CLOUD = "FwdLab"
_LOCATION = "westeurope"
_ENDPOINTS = (
    "resource_manager", "active_directory_resource_id", "active_directory_graph_resource_id",
    "microsoft_graph_resource_id", "management", "gallery",
)  # fmt: skip
_LOOPBACK = "127.0.0.1,localhost"


@dataclass(frozen=True)
class Profile:
    """Where a lab can be reached and where its clients keep their state.

    Attributes:
        base_url: the ARM endpoint, e.g. `https://127.0.0.1:41873`.
        proxy_port: loopback port of the CONNECT proxy for azd.
        bundle: the system's roots and the lab's authority.
        az_directory: `AZURE_CONFIG_DIR`, never the user's own.
        azd_directory: `AZD_CONFIG_DIR`, never the user's own.
    """

    base_url: str
    proxy_port: int
    bundle: Path
    az_directory: Path
    azd_directory: Path

    def write(self, credentials: Credentials) -> None:
        """Write both directories (mode 0700); no program has to be run for the log-in."""
        self._write_az(credentials)
        self._write_azd()

    def _write_az(self, credentials: Credentials) -> None:
        base = self.base_url
        _private_directory(self.az_directory)
        # clouds.config goes first: az rewrites `config` to AzureCloud when the active cloud is not in it
        _write_ini(
            self.az_directory / "clouds.config",
            {
                CLOUD: {
                    **{f"endpoint_{name}": base for name in _ENDPOINTS},
                    "endpoint_active_directory": f"{base}/adfs",
                    "suffix_storage_endpoint": "lab.invalid",
                    "suffix_keyvault_dns": ".vault.lab.invalid",
                    "suffix_acr_login_server_endpoint": ".azurecr.lab.invalid",
                    "subscription": credentials.subscription_id,
                }
            },
        )
        _write_ini(
            self.az_directory / "config",
            {
                "cloud": {"name": CLOUD},
                "core": {
                    "collect_telemetry": "no",
                    "encrypt_token_cache": "false",
                    "login_experience_v2": "off",
                    "survey_message": "no",
                    "display_region_identified": "no",
                },
                "auto-upgrade": {"enable": "no"},
            },
        )
        self._write_login(credentials)

    def _write_login(self, credentials: Credentials) -> None:
        subscriptions = [
            {
                "id": subscription,
                "name": name,
                "state": "Enabled",
                "user": {"name": tenant.client_id, "type": "servicePrincipal"},
                "isDefault": subscription == credentials.subscription_id,
                "tenantId": tenant.tenant_id,
                "environmentName": CLOUD,
                "homeTenantId": tenant.tenant_id,
                "managedByTenants": [],
            }
            for tenant in credentials.tenants
            for subscription, name in tenant.subscriptions.items()
        ]
        _write_json(self.az_directory / "azureProfile.json", {"subscriptions": subscriptions})
        logins = [
            {"client_id": each.client_id, "tenant": each.tenant_id, "client_secret": each.client_secret}
            for each in credentials.tenants
        ]
        _write_json(self.az_directory / "service_principal_entries.json", logins)

    def _write_azd(self) -> None:
        _private_directory(self.azd_directory)
        # without extension sources azd asks an unreachable registry for 8-9 s with every command
        _write_json(self.azd_directory / "config.json", {"extension": {"sources": {}}})

    def environment(self, credentials: Credentials, environ: Mapping[str, str]) -> dict[str, str]:
        """Every variable that az, azd, fwdctl and Terraform need; the user's own NO_PROXY is kept."""
        bundle = str(self.bundle)
        proxy = f"http://{USER}:{credentials.proxy_password}@127.0.0.1:{self.proxy_port}"
        before = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
        no_proxy = ",".join([_LOOPBACK, *([before] if before else [])])
        return {
            "AZURE_CONFIG_DIR": str(self.az_directory),
            "AZURE_SUBSCRIPTION_ID": credentials.subscription_id,
            "AZURE_TENANT_ID": credentials.tenant_id,
            "AZURE_LOCATION": _LOCATION,
            "AZURE_CORE_COLLECT_TELEMETRY": "no",
            "AZURE_DEV_COLLECT_TELEMETRY": "no",
            "AZD_CONFIG_DIR": str(self.azd_directory),
            "AZD_AUTH_ENDPOINT": f"{self.base_url}/azd",
            "AZD_AUTH_KEY": credentials.azd_key,
            "AZD_SKIP_UPDATE_CHECK": "true",
            "ARM_METADATA_HOSTNAME": self.base_url.removeprefix("https://"),
            "ARM_SUBSCRIPTION_ID": credentials.subscription_id,
            "ARM_RESOURCE_PROVIDER_REGISTRATIONS": "none",
            "REQUESTS_CA_BUNDLE": bundle,
            "SSL_CERT_FILE": bundle,
            "WEBSOCKET_CLIENT_CA_BUNDLE": bundle,
            "HTTPS_PROXY": proxy,
            "https_proxy": proxy,
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
        }


def _private_directory(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _write_json(path: Path, value: Any) -> None:
    _write(path, json.dumps(value, indent=2) + "\n")


def _write_ini(path: Path, sections: dict[str, dict[str, str]]) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict(sections)
    text = io.StringIO()
    parser.write(text)
    _write(path, text.getvalue())
