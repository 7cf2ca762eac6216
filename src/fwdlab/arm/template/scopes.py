"""Deployment scopes and the resource ids that stand under them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fwdlab.arm.template.values import ExpressionError

DEPLOYMENTS = "Microsoft.Resources/deployments"
_PROVIDER_LESS = re.compile(
    r"^(/subscriptions/[^/]+)/providers/Microsoft\.Resources/resourceGroups/([^/]+)", re.IGNORECASE
)
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Scope:
    """A subscription, or with `resource_group` a group in it."""

    subscription_id: str
    resource_group: str = ""

    @property
    def id(self) -> str:
        subscription = f"/subscriptions/{self.subscription_id}"
        return f"{subscription}/resourceGroups/{self.resource_group}" if self.resource_group else subscription

    @property
    def subscription(self) -> Scope:
        return Scope(self.subscription_id)


def join_id(prefix: str, kind: str, names: list[str]) -> str:
    """The id of a resource under a scope or, for an extension, under another resource; tenant: empty prefix.

    Raises:
        ExpressionError: the numbers of type segments and names do not match.
    """
    namespace, *segments = kind.rstrip("/").split("/")  # a slash at the end is seen in the wild
    if not segments or len(segments) != len(names):
        raise ExpressionError(
            f"the type '{kind}' requires {len(segments)} resource name argument(s), {len(names)} given"
        )
    tail = "/".join(f"{segment}/{name}" for segment, name in zip(segments, names, strict=True))
    return plain_group_id(f"{prefix}/providers/{namespace}/{tail}")


def plain_group_id(resource_id: str) -> str:
    """An id in which a resource group is not written as a resource of its provider."""
    return _PROVIDER_LESS.sub(r"\1/resourceGroups/\2", resource_id)


def resource_id(scope: Scope, arguments: list[str]) -> str:
    """`resourceId([subscriptionId], [resourceGroupName], type, name, …)` as evaluated in a scope."""
    at = _type_at(arguments, most=2)
    before, kind, names = arguments[:at], arguments[at], arguments[at + 1 :]
    if len(before) == 2:  # noqa: PLR2004 - subscription and group
        scope = Scope(before[0], before[1])
    elif before:
        # At subscription scope the one optional argument is the subscription, else the group.
        in_subscription = not scope.resource_group and _GUID.fullmatch(before[0])
        scope = Scope(before[0]) if in_subscription else Scope(scope.subscription_id, before[0])
    return join_id(scope.id, kind, names)


def subscription_resource_id(scope: Scope, arguments: list[str]) -> str:
    """`subscriptionResourceId([subscriptionId], type, name, …)`."""
    at = _type_at(arguments, most=1)
    subscription = Scope(arguments[0]) if at else scope.subscription
    return join_id(subscription.id, arguments[at], arguments[at + 1 :])


def _type_at(arguments: list[str], most: int) -> int:
    for position, argument in enumerate(arguments[: most + 1]):
        if "/" in argument:
            return position
    raise ExpressionError("a fully qualified resource type is expected among the arguments")


def absolute_id(scope: Scope, text: str) -> str | None:
    """The id meant by an absolute id or by `Namespace/type/name`; None for a plain name."""
    if text.startswith("/"):
        return plain_group_id(text.rstrip("/"))
    parts = text.split("/")
    if len(parts) % 2 and len(parts) > 1 and "." in parts[0]:
        return plain_group_id(f"{scope.id}/providers/{text}")
    return None


def scope_of(full_id: str) -> Scope:
    """The subscription or group that an id lies in."""
    parts = full_id.split("/")
    in_group = len(parts) > 4 and parts[3].lower() == "resourcegroups"  # noqa: PLR2004 - /subscriptions/S/…/G
    return Scope(parts[2] if len(parts) > 2 else "", parts[4] if in_group else "")  # noqa: PLR2004


def is_deployment(full_id: str) -> bool:
    return full_id.lower().rpartition("/providers/")[2].startswith(DEPLOYMENTS.lower() + "/")
