"""A topology file: a deployment that nothing else describes, by somebody's hand or from a tool's outputs.

Its shape is that of FWD_TOPOLOGY; what it leaves out is not known. A resource may stand there by its name, in
the resource group of the file, or by its id.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictStr, ValidationError

from fwdctl.deployment.topology import Check, Deployment, parse
from fwdctl.errors import UsageError
from fwdctl.template.parameters.file import read_text
from fwdctl.template.parameters.models import (
    Address,
    ForwardedPort,
    HostName,
    Part,
    Port,
    TargetText,
    Text,
    string,
)
from fwdctl.template.parameters.problems import ParametersError, Problem, problems_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOT_FOR_SPOKES = {"hub", "all"}
"""Words that mean jump boxes of others."""


Resource = Annotated[Text, string(minLength=1, description="Name or id.")]
LEFT_OUT = BeforeValidator(lambda value: None if value == "" else value)
"""As FWD_TOPOLOGY says that something is not there."""
Jump = Annotated[Resource | None, LEFT_OUT, Field(description="A container group to test from.")]
Container = Annotated[
    Text | None, LEFT_OUT, Field(description="The container in it; by default the first one.")
]


class LoadBalancer(Part):
    """The internal load balancer."""

    name: Resource
    address: Annotated[Address | None, LEFT_OUT, Field(description="Of its frontend.")] = None


class Hub(Part):
    """What is behind the endpoints."""

    jump: Jump = None
    container: Container = None
    load_balancer: LoadBalancer | None = None
    scale_set: Annotated[Resource | None, Field(description="Of the forwarders.")] = None
    private_link_service: Resource | None = None
    health_port: Annotated[Port | None, Field(description="Where fwdctl's agents tell their state.")] = None
    forwards_hash: Annotated[Text | None, Field(description="Written by fwdctl's own template.")] = None


class PrivateEndpoint(Part):
    """The private endpoint in a spoke."""

    name: Resource
    address: Address | None = None


class Spoke(Part):
    """A network whose workloads use the endpoint."""

    name: Text
    jump: Jump = None
    container: Container = None
    private_endpoint: PrivateEndpoint | None = None
    host_name: Annotated[HostName | None, Field(description="The name that workloads connect to.")] = None
    zone: Annotated[HostName | None, Field(description="The private DNS zone that holds the name.")] = None


class Forward(Part):
    """A port that is forwarded."""

    name: Text
    port: ForwardedPort
    targets: Annotated[tuple[TargetText, ...], Field(description="HOST:PORT each.")] = ()
    host_names: Annotated[tuple[HostName, ...], Field(description="Before each spoke's zone.")] = ()
    balance: Literal["roundRobin", "sourceHash"] = "roundRobin"
    check: Annotated[Check, Field(description="What is asked on the port.")] = "tcp"
    check_path: Annotated[StrictStr, Field(description="Path of the GET of http and https.")] = "/"
    identity_header: Annotated[StrictStr, Field(description="In which a server names itself.")] = ""
    server_name: Annotated[StrictStr, Field(description="What TLS asks for.")] = ""


class Topology(Part):
    """A deployment, for `fwdctl probe --topology`."""

    version: Literal[1]
    resource_group: Annotated[Text, Field(description="Where everything is that is not named by its id.")]
    subscription: Annotated[Text | None, Field(description="By default that of the login.")] = None
    hub: Hub = Hub()
    spokes: tuple[Spoke, ...] = ()
    forwards: tuple[Forward, ...]


def schema() -> dict[str, Any]:
    """The JSON schema of a topology file, as docs/topology.schema.json has it."""
    document = Topology.model_json_schema(by_alias=True)
    for part in (document, *document["$defs"].values()):
        part["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}


def load(file: Path, subscription: str | None = None) -> Deployment:
    """Read and check a topology file; `subscription` counts where it names none.

    Raises:
        FwdctlError: it is missing (exit code 3), or something in it is wrong: `topology_invalid`, with file
            and key (2).
    """
    try:
        checked = Topology.model_validate(json.loads(read_text(file)))
    except json.JSONDecodeError as error:
        raise UsageError(
            "topology_invalid",
            f"{file}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}.",
            "Correct that place; JSON has no byte order mark, no comments, no last comma.",
        ) from error
    except ValidationError as error:
        raise ParametersError(file, problems_in(error), "topology_invalid") from error
    if problems := list(_contradictions(checked)):
        raise ParametersError(file, problems, "topology_invalid")
    filled = json.dumps(checked.model_dump(mode="json", by_alias=True, exclude_none=True))
    found = parse(filled, checked.subscription or subscription, f"topology file {file}")
    return replace(found, options=("-g", found.resource_group))  # what other commands take


def _contradictions(topology: Topology) -> Iterator[Problem]:
    for index, spoke in enumerate(topology.spokes):
        if spoke.name in NOT_FOR_SPOKES:
            text = f"'{spoke.name}' means other jump boxes"
            yield Problem(f"spokes[{index}].name", text, "Choose another name.")
    if not topology.forwards:
        yield Problem("forwards", "is empty", "List at least one.")
    for key, names in (
        ("spokes", [spoke.name for spoke in topology.spokes]),
        ("forwards", [forward.name for forward in topology.forwards]),
    ):
        for name, times in Counter(names).items():
            if times > 1:
                last = len(names) - 1 - names[::-1].index(name)
                yield Problem(f"{key}[{last}].name", f"'{name}' is there twice", "Choose another name.")
