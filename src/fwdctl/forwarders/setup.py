"""What a machine is made of, and what its user data says: the parts that are compared. Pure."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Literal

from fwdctl.azure.documents import Document, tag_of
from fwdctl.probe.agents import WANTED_TAG, configuration

CLOUD_INIT_TAG = "fwdctl-config-hash"
"""Set by the template: the hash of the programs in the cloud-init that the model had when it was applied."""
What = Literal["tag", "user data", "agent", "image", "size", "model", "running"]


@dataclass(frozen=True)
class Setup:
    """What a machine is made of; of the scale set, what it would give a new machine. Empty: not told.

    Attributes:
        user_data: base64.
        programs: hash of the programs in the cloud-init.
        forwards: hash of what is forwarded, by the tag, which a machine keeps until its model is applied.
        image: `publisher:offer:sku:version`, or an id.
    """

    user_data: str = ""
    programs: str = ""
    forwards: str = ""
    image: str = ""
    size: str = ""

    @classmethod
    def of(cls, document: Document, profile: Document) -> Setup:
        """From a document with tags and size, and what holds user data and disks."""
        image = (profile.get("storageProfile") or {}).get("imageReference") or {}
        words = [str(image.get(key) or "") for key in ("publisher", "offer", "sku", "version")]
        return cls(
            str(profile.get("userData") or ""),
            tag_of(document, CLOUD_INIT_TAG),
            tag_of(document, WANTED_TAG),
            str(image.get("id") or "") or ":".join(filter(None, words)),
            str((document.get("sku") or {}).get("name") or ""),
        )

    @property
    def hash(self) -> str:
        """Of what is forwarded, as the user data says."""
        return str(configuration(self.user_data).get("hash") or "")

    def older_than(self, model: Setup) -> dict[What, tuple[str, str]]:
        """What an update or a reimage would bring, by name: what it has, what the model has."""
        pairs: dict[What, tuple[str, str]] = {
            "agent": (self.programs, model.programs),
            "image": (self.image, model.image),
            "size": (self.size, model.size),
        }
        return {what: pair for what, pair in pairs.items() if all(pair) and pair[0] != pair[1]}


def draining(encoded: str) -> str:
    """The same user data, with the word to the agent that the load balancer shall send nothing new."""
    text = json.dumps({**configuration(encoded), "drain": True})
    return base64.b64encode(text.encode()).decode("ascii")
