"""`fwdctl link`: who may connect to a private link service, and asking for a connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from fwdctl.cli.command import Call, command
from fwdctl.cli.completion import complete_connections, complete_services
from fwdctl.cli.confirm import confirm
from fwdctl.cli.group import group
from fwdctl.cli.options import ENVIRONMENT, OUTPUT, RESOURCE_GROUP, option
from fwdctl.errors import FwdctlError, UsageError
from fwdctl.output import Result
from fwdctl.progress import Progress
from fwdctl.shell import quoted

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
    from fwdctl.deployment import Deployment
    from fwdctl.link.model import Connection, Service
    from fwdctl.link.plan import Decision, Meant

app = group(
    "Decide who may connect to the link service, or ask for a connection as a consumer.",
    examples="""
    fwdctl link list
    fwdctl link approve --match 'pep-sales*' --wait
    fwdctl link request --alias ALIAS --subnet ID --name pep-crm
    """,
)
SHARED = (ENVIRONMENT, RESOURCE_GROUP, OUTPUT)
ServiceOption = Annotated[
    str | None,
    option(
        "--service NAME",
        "The link service; by default the environment's own, or the only one of the group.",
        autocompletion=complete_services,
    ),
]
MatchOption = Annotated[
    str,
    option(
        "--match GLOB",
        "Part of names with * and ?: of the connection, its endpoint, or the endpoint's id.",
        show_default=False,
    ),
]
IdOption = Annotated[
    str,
    option(
        "--id ID",
        "Id of the endpoint or of the connection.",
        autocompletion=complete_connections,
        show_default=False,
    ),
]
DescriptionOption = Annotated[
    str, option("--description TEXT", "What the consumer reads.", show_default=False)
]
YesOption = Annotated[bool, option("--yes", "Do not ask.")]
TimeoutOption = Annotated[float, option("--timeout SECONDS", "Wait no longer than this.", min=1, max=86400)]


@command(app, "link list", *SHARED, examples="fwdctl link list\nfwdctl link list -g rg-hub -o json")
def list_command(call: Call, *, service: ServiceOption = None) -> Result:
    """List who is connected, who was refused, and who waits for a decision.

    Since when is known of endpoints that this login may see; Azure keeps no date of a connection.
    """
    from fwdctl.link import views

    deployment, clients, services = _services(call, service)
    found = [each for one in services for each in one.connections]
    return views.connections(deployment.resource_group, services, _known(call, deployment, clients, found))


@command(
    app,
    "link show",
    *SHARED,
    examples="fwdctl link show\nfwdctl link show --match 'pep-sales*' -o json",
)
def show_command(
    call: Call, *, service: ServiceOption = None, match: MatchOption = "", identity: IdOption = ""
) -> Result:
    """Show the link service with its alias, whom it is visible to, and its connections in full."""
    from fwdctl.link import plan, views

    deployment, clients, services = _services(call, service)
    one = plan.the_one(services)
    meant = plan.Meant(match, identity)
    found = meant.matching(one.connections)
    if not found and str(meant):
        raise plan.not_found(one, meant)
    known = _known(call, deployment, clients, found)
    return views.details(deployment.resource_group, one, known, _again(call, service))


@command(
    app,
    "link approve",
    *SHARED,
    examples="""
    fwdctl link approve --match 'pep-sales*'
    fwdctl link approve --match '/subscriptions/ID/*' --wait
    fwdctl link approve --id ID --no-probe
    """,
)
def approve_command(
    call: Call,
    *,
    service: ServiceOption = None,
    match: MatchOption = "",
    identity: IdOption = "",
    description: DescriptionOption = "",
    wait: Annotated[
        bool, option("--wait", "Wait for a request that is still to come, and for Azure's end.")
    ] = False,
    timeout: TimeoutOption = 600.0,
    probe: Annotated[
        bool, option("--probe/--no-probe", "Test the paths behind the connection afterwards.")
    ] = True,
) -> Result:
    """Approve one connection, then test the paths behind it, where they are the environment's own.

    Names are chosen by whoever asks: in scripts match the subscription, or name the endpoint's id.
    What is approved already stays so.

    Exit code 2: several are meant, or it was rejected, which is final; 4: a path is broken; 5: it could not
    be tested, or nobody has asked in time.
    """
    from fwdctl.link import plan, views
    from fwdctl.link.services import Owner

    meant = _meant(match, identity)
    deployment, clients, services = _services(call, service)
    patience = timeout if wait else 0.0
    with Progress(call.runtime) as progress:
        owner = Owner(call.runtime, clients, plan.the_one(services), progress)
        found = owner.find(plan.APPROVE, meant, patience)
        if found is None:
            raise plan.not_found(owner.service, meant, patience)
        already = plan.is_done(found, plan.APPROVE)
        if not already:
            found = owner.decide(found, plan.APPROVE, description or "Approved with fwdctl.", patience)
        probed = _probe(call, deployment, clients, found, progress) if probe else None
    return views.decided(plan.APPROVE, found, probed, already=already)


@command(
    app,
    "link reject",
    *SHARED,
    examples="""
    fwdctl link reject --match 'pep-sales*'
    fwdctl link reject --id ID --description 'Not yours' --yes
    """,
)
def reject_command(
    call: Call,
    *,
    service: ServiceOption = None,
    match: MatchOption = "",
    identity: IdOption = "",
    description: DescriptionOption = "",
    yes: YesOption = False,
    wait: Annotated[bool, option("--wait", "Wait until Azure has done it.")] = False,
    timeout: TimeoutOption = 600.0,
) -> Result:
    """Reject one connection. That is final: the consumer needs a new endpoint to ask again."""
    from fwdctl.link import plan

    meant, words = _meant(match, identity), description or "Rejected with fwdctl."
    return _end(call, plan.REJECT, service, meant, words, yes=yes, patience=timeout if wait else 0.0)


@command(
    app,
    "link remove",
    *SHARED,
    examples="fwdctl link remove --match 'pep-old*'\nfwdctl link remove --id ID --yes",
)
def remove_command(
    call: Call,
    *,
    service: ServiceOption = None,
    match: MatchOption = "",
    identity: IdOption = "",
    yes: YesOption = False,
    timeout: TimeoutOption = 600.0,
) -> Result:
    """Take one connection from the service. Its endpoint is Disconnected from then on, for good.

    The endpoint is the consumer's, stays, and costs money until the consumer deletes it.
    """
    from fwdctl.link import plan

    return _end(call, plan.REMOVE, service, _meant(match, identity), "", yes=yes, patience=timeout)


@command(
    app,
    "link request",
    RESOURCE_GROUP,
    OUTPUT,
    examples="""
    fwdctl link request --alias ALIAS --subnet ID --name pep-crm
    fwdctl link request --alias ALIAS --subnet ID --name pep-crm --wait
    """,
)
def request_command(
    call: Call,
    *,
    alias: Annotated[str, option("--alias ALIAS", "Alias or id of the link service.")],
    subnet: Annotated[str, option("--subnet ID", "Id of the subnet of the endpoint.")],
    name: Annotated[str, option("--name N", "Name of the endpoint.")],
    message: Annotated[
        str, option("--message TEXT", "For the owner of the service.", show_default=False)
    ] = "",
    wait: Annotated[bool, option("--wait", "Wait until the owner has decided.")] = False,
    timeout: TimeoutOption = 600.0,
) -> Result:
    """Ask for a connection as a consumer: make a private endpoint that the service's owner has to approve.

    It is made in the subnet's resource group, or in the one that -g names. One that is there is shown.

    Exit code 4: the owner has refused it; 5: nobody has decided in time.
    """
    from fwdctl.azure.clients import Clients
    from fwdctl.azure.credential import log_in
    from fwdctl.link import request, views

    wanted = request.wish(name, alias, subnet, message, call.resource_group or "")
    clients = Clients(log_in(call.runtime, wanted.subscription), call.runtime)
    with Progress(call.runtime) as progress:
        made = request.ask(call.runtime, clients, wanted, progress, timeout, wait=wait)
    return views.requested(made)


def _meant(match: str, identity: str) -> Meant:
    """What --match or --id says; one of them has to.

    Raises:
        FwdctlError: none or both were given (exit code 2).
    """
    from fwdctl.link.plan import Meant

    if bool(match) == bool(identity):
        raise UsageError(
            "usage",
            "Say which connection is meant, with --match or with --id.",
            "`fwdctl link list` shows them.",
        )
    return Meant(match, identity)


def _services(call: Call, service: str | None) -> tuple[Deployment, Clients, list[Service]]:
    from fwdctl.link.services import services_of

    deployment, clients = call.load(discover=False)
    return deployment, clients, services_of(clients, deployment, service)


def _known(
    call: Call, deployment: Deployment, clients: Clients, found: Sequence[Connection]
) -> list[Connection]:
    """Connections with dates, spokes and removed spokes; not to know those is a warning."""
    from fwdctl.deployment import orphans
    from fwdctl.deployment.discover import complete
    from fwdctl.link import plan
    from fwdctl.link.services import since

    progress = Progress(call.runtime)
    try:
        deployment = deployment if deployment.complete else complete(deployment, clients)
    except FwdctlError as error:
        progress.warning(f"Which networks the endpoints are in is not known: {error.message}")
    kinds = (orphans.CONNECTION,)
    found_left = orphans.find_or_warn(clients, deployment, progress, "a connection", kinds)
    left = {each.id.lower(): each.spoke for each in found_left}
    known = plan.annotated(found, deployment, since(clients, found), left)
    gone = sorted({each.orphan_of for each in known} - {""})
    if gone:
        text = f"Left behind by removed spokes: {', '.join(gone)}. See `fwdctl env orphans{call.again}`."
        progress.warning(text)
    return known


def _probe(
    call: Call, deployment: Deployment, clients: Clients, connection: Connection, progress: Progress
) -> Result | str:
    """Test the paths behind a connection, or say why they cannot be tested from inside."""
    from dataclasses import replace

    from fwdctl.cli.probe import result_of
    from fwdctl.link import plan
    from fwdctl.probe.model import Options
    from fwdctl.probe.run import probe

    try:
        if not deployment.complete:
            from fwdctl.deployment.discover import complete

            deployment = complete(deployment, clients)
        own = plan.spoke_of(deployment, connection)
        if own is None:
            return "endpoint is not of a spoke of this deployment, so its paths cannot be tested from inside"
        part, spoke = own
        if spoke.box is None:
            return f"spoke {spoke.name} has no jump box to test from"
        alone = replace(part, spokes=(spoke,), others=())
        # What was just approved may take a while to carry packets.
        results = probe(call.runtime, clients, alone, Options("spoke", retries=5), progress)
    except FwdctlError as error:
        return error.message.rstrip(".")
    return result_of(call.runtime, deployment.resource_group, results)


def _end(
    call: Call,
    decision: Decision,
    service: str | None,
    meant: Meant,
    words: str,
    *,
    yes: bool,
    patience: float,
) -> Result:
    """Reject or remove a connection, after asking. What cannot be found by its id is removed already."""
    from dataclasses import replace

    from fwdctl.link import plan, views
    from fwdctl.link.model import gone
    from fwdctl.link.services import Owner

    _, clients, services = _services(call, service)
    with Progress(call.runtime) as progress:
        owner = Owner(call.runtime, clients, plan.the_one(services), progress)
        found = owner.find(decision, meant)
        if found is None and decision is plan.REMOVE and meant.identity:
            found = gone(meant.identity, owner.service.name)
        if found is None:
            raise plan.not_found(owner.service, meant)
        already = plan.is_done(found, decision)
        if not already:
            if not yes:
                _ask(call, decision, found, _again(call, service))
            if decision is plan.REMOVE:
                owner.remove(found, patience)
                found = replace(found, state=decision.state)
            else:
                found = owner.decide(found, decision, words, patience)
    return views.decided(decision, found, None, already=already)


def _again(call: Call, service: str | None) -> str:
    """What chose the service, for commands that are suggested."""
    return (f" --service {quoted(service)}" if service else "") + call.again


def _ask(call: Call, decision: Decision, found: Connection, again: str) -> None:
    confirm(
        call.runtime,
        f"{decision.verb.capitalize()} {found.name} ({found.state}, of subscription {found.subscription})? "
        "It cannot be undone.",
        decision.done,
        f"If that is meant, run `fwdctl link {decision.verb} --id {quoted(found.endpoint or found.id)} "
        f"--yes{again}`.",
    )
