"""Managed HSMs: there are none, which is what `az keyvault list` and `list-deleted` want to hear."""

from __future__ import annotations

from fwdlab.arm.services.base import absent

PROVIDERS = tuple(absent(f"Microsoft.KeyVault/{kind}") for kind in ("managedHSMs", "deletedManagedHSMs"))
