"""The ids and secrets of one lab, and the file that keeps them."""

from __future__ import annotations

import json
import os
import secrets
import uuid
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Tenant:
    """A tenant, and the one login that it has.

    Attributes:
        client_id: of the service principal, and the object id in its tokens.
        subscriptions: names by GUID.
    """

    tenant_id: str
    client_id: str
    client_secret: str
    subscriptions: Mapping[str, str]


@dataclass(frozen=True)
class Credentials:
    """Ids and secrets of one lab, made at random.

    Attributes:
        subscription_id: GUID of its subscription.
        second_subscription_id: GUID of another one of the same tenant.
        tenant_id: GUID of its tenant.
        client_id: GUID of the service principal that az logs in as, and the object id in every token.
        client_secret: its secret.
        azd_key: bearer key of azd's external token endpoint.
        control_token: bearer token of the private `/lab/` routes.
        proxy_password: of the CONNECT proxy.
        signing_key: key that tokens are signed with, hex; a changed one makes clients' cached tokens invalid.
    """

    subscription_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    second_subscription_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    tenant_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    azd_key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    control_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    proxy_password: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    other_subscription_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    other_tenant_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    other_client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    other_client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    signing_key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)

    @property
    def tenants(self) -> tuple[Tenant, Tenant]:
        """The lab's own tenant, and one of other people."""
        own = {self.subscription_id: "fwdctl lab", self.second_subscription_id: "fwdctl lab, second"}
        others = {self.other_subscription_id: "fwdctl lab, other tenant"}
        return (
            Tenant(self.tenant_id, self.client_id, self.client_secret, own),
            Tenant(self.other_tenant_id, self.other_client_id, self.other_client_secret, others),
        )

    @classmethod
    def load_or_create(cls, path: Path) -> Credentials:
        """Read them from a file, or make and write them (mode 0600)."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{f.name: str(stored[f.name]) for f in fields(cls)})
        except (OSError, ValueError, KeyError, TypeError):
            made = cls()
            made.save(path)
            return made

    def save(self, path: Path) -> None:
        """Write them, readable by the owner only."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(self), file)
