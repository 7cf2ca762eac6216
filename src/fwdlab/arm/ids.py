"""Resource ids: parse, build, compare without case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

SUBSCRIPTION_TYPE = "Microsoft.Resources/subscriptions"
# One version per type: clients take the newest that they see and the lab answers every version alike.
API_VERSION = "2025-05-01"
GROUP_TYPE = "Microsoft.Resources/resourceGroups"


@dataclass(frozen=True)
class ResourceId:
    """The id of one resource.

    Attributes:
        text: the id as written, with a leading and without a trailing slash.
        scope: what the innermost `/providers/` part stands under: a subscription, a resource group, another
            resource (for an extension resource) or `` for the tenant; equal to the parent's id for
            subscriptions and groups.
        type: full type, e.g. `Microsoft.Network/virtualNetworks/subnets`, cased as written.
        names: the names along the type, outermost first; `("vnet", "subnet")` for a subnet.
    """

    text: str
    scope: str
    type: str
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> ResourceId:
        """Parse the id of a single resource.

        Raises:
            ValueError: it is a collection, an action, or no id at all.
        """
        path = parse_path(text)
        if path is None or path.kind != "resource":
            raise ValueError(f"'{text}' is not a resource id")
        return path.resource

    @property
    def key(self) -> str:
        """What ids are compared by."""
        return self.text.lower()

    @property
    def name(self) -> str:
        return self.names[-1]

    @property
    def subscription(self) -> str:
        """Subscription, empty at tenant level."""
        return self._after("subscriptions")

    @property
    def group(self) -> str:
        """Resource group, empty above it."""
        return self._after("resourcegroups")

    @property
    def group_id(self) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}" if self.group else ""

    @property
    def parent(self) -> ResourceId | None:
        """The resource that this is a child of: of a subnet its network, of a network None."""
        if len(self.names) == 1:
            return None
        parent_type = self.type.rsplit("/", 1)[0]
        return ResourceId(self.text.rsplit("/", 2)[0], self.scope, parent_type, self.names[:-1])

    def child(self, kind: str, name: str) -> ResourceId:
        return ResourceId(
            f"{self.text}/{kind}/{name}", self.scope, f"{self.type}/{kind}", (*self.names, name)
        )

    def is_type(self, kind: str) -> bool:
        return self.type.lower() == kind.lower()

    def _after(self, keyword: str) -> str:
        parts = self.text.split("/")
        position = 1 if keyword == "subscriptions" else 3
        if len(parts) > position + 1 and parts[position].lower() == keyword:
            return parts[position + 1]
        return ""

    def __str__(self) -> str:
        return self.text


class Spelling:
    """How Azure writes the words of ids: `resourceGroups`, namespaces, types and collections; names stay."""

    def __init__(self, words: Iterable[str]) -> None:
        known = ("subscriptions", "resourceGroups", "providers", *words)
        self._words = {word.lower(): word for word in known}

    def of(self, text: str) -> str:
        """An id or path with its words in Azure's casing and single slashes; anything else as it is."""
        parts = [part for part in text.split("/") if part]
        if not parts or parts[0].lower() not in {"subscriptions", "providers"}:
            return text
        spelled, words_ahead = [""], 1
        for part in parts:
            spelled.append(self._words.get(part.lower(), part) if words_ahead else part)
            if words_ahead and part.lower() == "providers":
                words_ahead = 2  # the namespace, and the first word of the type
            else:
                words_ahead = words_ahead - 1 if words_ahead else 1
        return "/".join(spelled)


@dataclass(frozen=True)
class ArmPath:
    """What the path of a request names.

    Attributes:
        kind: `resource`, or `below` for a word below a resource or scope: a collection to list, a view to get
            or an action to post.
        resource: the resource itself, or for `below` the one it hangs below. At a scope that is no resource
            (`…/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks`) the scope's id.
        word: for `below` the last segment, e.g. `start`, `virtualMachines`.
        type: for `below` the full type that a collection of that word would have.
    """

    kind: Literal["resource", "below"]
    resource: ResourceId
    word: str = ""
    type: str = ""


def parse_path(path: str) -> ArmPath | None:
    """Say what a path names; None for one that follows no rule of ARM (`/tenants`, `/subscriptions`)."""
    parts = path.strip("/").split("/")
    if "" in parts:
        return None
    providers = [i for i, part in enumerate(parts) if part.lower() == "providers"]
    if not providers:
        return _scope_path(parts)
    cut = providers[-1]
    scope = "/" + "/".join(parts[:cut]) if cut else ""
    tail = parts[cut + 1 :]
    if len(tail) < 2:  # noqa: PLR2004 - a namespace alone is a question about the provider, not a resource
        return None
    namespace, rest = tail[0], tail[1:]
    kind = "/".join([namespace, *rest[::2]])
    names = tuple(rest[1::2])
    if len(rest) % 2 == 0:
        return ArmPath("resource", ResourceId("/" + "/".join(parts), scope, kind, names))
    word = rest[-1]
    if len(rest) == 1:
        return ArmPath("below", _scope_id(scope), word, kind)
    above = ResourceId("/" + "/".join(parts[:-1]), scope, "/".join([namespace, *rest[:-1:2]]), names)
    return ArmPath("below", above, word, kind)


def _scope_path(parts: list[str]) -> ArmPath | None:
    if parts[0].lower() != "subscriptions" or len(parts) < 2:  # noqa: PLR2004 - `/subscriptions` is a list
        return None
    depth = 4 if len(parts) >= 4 and parts[2].lower() == "resourcegroups" else 2  # noqa: PLR2004
    scope, below = _scope_id("/" + "/".join(parts[:depth])), parts[depth:]
    if not below:
        return ArmPath("resource", scope)
    if len(below) > 1:
        return None
    return ArmPath("below", scope, below[0], f"Microsoft.Resources/{below[0]}")


def _scope_id(scope: str) -> ResourceId:
    parts = scope.strip("/").split("/") if scope else []
    if len(parts) == 2:  # noqa: PLR2004
        return ResourceId(scope, "", SUBSCRIPTION_TYPE, (parts[1],))
    if len(parts) == 4 and parts[2].lower() == "resourcegroups":  # noqa: PLR2004
        return ResourceId(scope, "/" + "/".join(parts[:2]), GROUP_TYPE, (parts[3],))
    if not parts:
        return ResourceId("", "", "Microsoft.Resources/tenants", ("",))
    path = parse_path(scope)  # an extension's scope is a resource
    if path is None or path.kind != "resource":
        return ResourceId(scope, "", "", (parts[-1],))
    return path.resource


def reference_id(value: Any) -> str:
    """The id in a reference `{"id": …}`, empty when there is none."""
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def reference_key(value: Any) -> str:
    """What references are compared by."""
    return reference_id(value).lower()


def same(one: str | None, other: str | None) -> bool:
    """Whether two ids name the same resource; never for a missing one."""
    return one is not None and other is not None and one.lower() == other.lower()


def refers(value: Any, wanted: str) -> bool:
    """Whether a reference leads to that resource."""
    return same(reference_id(value), wanted)
