"""Managed HSMs: there are none, which is what `az keyvault list` and `list-deleted` want to hear."""

from __future__ import annotations

from fwdlab.arm.services.base import ReadOnly, of_type


def _none(kind: str) -> type[ReadOnly]:
    refusal = (400, "LabResourceTypeNotSupported", f"The lab has no resource type '{kind}'.")
    return of_type(ReadOnly, kind, refusal=refusal)


PROVIDERS = tuple(_none(f"Microsoft.KeyVault/{kind}") for kind in ("managedHSMs", "deletedManagedHSMs"))
