"""What a container group is given and never shows again, as far as its containers need it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fwdlab.model import Resource


def take_secrets(properties: dict[str, Any], old: Resource | None) -> dict[str, dict[str, str]]:
    """Move secure values out of the document, by container; a PUT without one keeps the one before."""
    known: dict[str, dict[str, str]] = old.secrets["environment"] if old is not None else {}
    found: dict[str, dict[str, str]] = {}
    for container in properties["containers"]:
        before, own = known.get(container["name"], {}), found.setdefault(container["name"], {})
        for variable in container["properties"]["environmentVariables"]:
            name, secret = variable["name"], variable.pop("secureValue", None)
            if secret is not None:
                own[name] = secret
            elif "value" not in variable and name in before:
                own[name] = before[name]
    for volume in properties.get("volumes", ()):
        if "secret" in volume:  # names of files and what is in them
            volume["secret"] = {}
    return found
