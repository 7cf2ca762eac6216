"""Link services, connections and decisions as results: JSON and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fwdctl.errors import ExitCode
from fwdctl.link.model import ANYONE, PENDING, Connection, Service
from fwdctl.link.request import Request, advice
from fwdctl.output import Result, grid, say
from fwdctl.shell import quoted

if TYPE_CHECKING:
    from rich.console import Console

    from fwdctl.link.plan import Decision

COLUMNS = ("state", "endpoint", "subscription", "region", "since", "spoke", "message")
NOBODY = "Nobody is connected."


def connections(resource_group: str, services: Sequence[Service], found: Sequence[Connection]) -> Result:
    """The connections of some services, those that wait for a decision first."""
    ordered = sorted(found, key=lambda each: each.state != PENDING)
    return Result(
        {
            "resourceGroup": resource_group,
            "services": [service.data() for service in services],
            "connections": [each.data() for each in ordered],
        },
        table=lambda out: _table(out, services, ordered),
    )


def _table(out: Console, services: Sequence[Service], found: Sequence[Connection]) -> None:
    if not found:
        say(out, NOBODY)
        return
    several = len(services) > 1
    rows = [((each.service,) if several else ()) + _row(each) for each in found]
    grid(out, (("service",) if several else ()) + COLUMNS, rows)


def _row(each: Connection) -> tuple[str, ...]:
    spoke = f"{each.orphan_of} (removed)" if each.orphan_of else each.spoke
    name = each.endpoint_name or each.name
    return (each.state, name, each.subscription, each.region, each.since[:10], spoke, each.message)


def details(resource_group: str, service: Service, found: Sequence[Connection], again: str) -> Result:
    """A service and its connections with all that is known of them."""
    return Result(
        {
            "resourceGroup": resource_group,
            "service": service.data(),
            "connections": [each.data() for each in found],
        },
        table=lambda out: _blocks(out, service, found, again),
    )


def _blocks(out: Console, service: Service, found: Sequence[Connection], again: str) -> None:
    lines = {
        "Alias": service.alias,
        "Id": service.id,
        "Region": service.region,
        "Visible to": _subscriptions(service.visibility, "whoever has a role on the service"),
        "Approved without asking": _subscriptions(service.auto_approval, "nobody"),
        "NAT addresses": str(service.nat_addresses),
    }
    _block(out, f"Private link service {service.name}", lines)
    for each in found:
        say(out, "")
        _block(out, f"Connection {each.name}: {each.state}", _lines(each, again))
    if not found:
        say(out, NOBODY)


def _subscriptions(listed: Sequence[str], nobody: str) -> str:
    if ANYONE in listed:
        return "anyone who knows the alias"
    return ", ".join(listed) or nobody


def _lines(each: Connection, again: str) -> dict[str, str]:
    orphan = f"left behind by the removed spoke '{each.orphan_of}', see `fwdctl env orphans{again}`"
    approve = f"fwdctl link approve --id {quoted(each.endpoint or each.id)}{again}"
    return {
        "Endpoint": each.endpoint,
        "Subscription": each.subscription,
        "Region": each.region,
        "Since": each.since,
        "Message": each.message,
        "Actions required": each.actions,
        "Spoke": orphan if each.orphan_of else each.spoke,
        "Next": approve if each.state == PENDING else "",
    }


def _block(out: Console, heading: str, lines: dict[str, str]) -> None:
    say(out, heading)
    for name, text in lines.items():
        if text:
            say(out, f"  {name}: {text}")


def decided(
    decision: Decision, connection: Connection, probed: Result | str | None, *, already: bool
) -> Result:
    """A decision, and what the paths behind the connection say.

    `probed` is a probe's result, why there is none, or None where none was asked for.
    """
    word = f"already {decision.done}" if already else decision.done
    data: dict[str, Any] = {"connection": connection.data(), "outcome": word, "probe": None, "untested": None}
    if isinstance(probed, str):
        data["untested"] = probed
    elif probed is not None:
        data["probe"] = probed.data
    row = (word, connection.endpoint_name or connection.name, connection.subscription, connection.region)

    def table(out: Console) -> None:
        grid(out, ("outcome", "endpoint", "subscription", "region"), [row])
        if isinstance(probed, str):
            say(out, f"Not tested: {probed}.")
        elif probed is not None and probed.table is not None:
            say(out, "")
            probed.table(out)

    if isinstance(probed, Result):
        return Result(data, probed.exit_code, table)
    return Result(data, table=table)


def requested(request: Request) -> Result:
    """An endpoint that asks; exit code 4 where its owner has refused it."""
    left = advice(request)
    lines = {
        "Service": request.service,
        "Endpoint": request.id,
        "Address": request.address,
        "Message": request.message,
        "Next": left,
    }
    name = request.id.rpartition("/")[2]
    made = "made" if request.made else "there already"
    return Result(
        {**request.data(), "next": left or None},
        exit_code=ExitCode.BROKEN if request.is_refused else ExitCode.OK,
        table=lambda out: _block(out, f"Private endpoint {name}: {request.state} ({made})", lines),
    )
