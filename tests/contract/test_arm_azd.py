"""What the real azd asked when it was recorded, asked again of the lab; each answer must hold all that azd reads.

The recordings (recordings/azd, made by support/record.py) say what azd asks and which status it was content with.
What it reads of an answer stands here, taken from its source: a member that is missing where azd takes it for granted
is a nil pointer there, and azd ends with a stack trace.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from support.replay import RECORDINGS, UNDER_WAY, Answered, Azd, azd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEPLOYMENT = r".*/providers/Microsoft\.Resources/deployments/\{deployment [^}]+\}"
NESTED = r".*/providers/Microsoft\.Resources/deployments/\{nested [^}]+\}"
TEXT = re.compile(r"(?s).+")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
DURATION = re.compile(r"PT(\d+(\.\d+)?)S")
IDENTITY = ("value[].id", "value[].name", "value[].type", "value[].location")


@dataclass(frozen=True)
class Reads:
    """What azd reads of an answer.

    Attributes:
        path: pattern of the recorded path, from its beginning to its end.
        fields: members that must be there, with a text unless said otherwise: `a.b` in an object, `a[]` each of a
            list, `*` each of an object, `a?` only where there is one; `:time`, `:duration`, `:any` of that kind.
        header: one that must be there.
        state: the rule is about answers in this state only; `!` about those in any other that is an end.
    """

    method: str
    path: str
    status: int
    fields: tuple[str, ...] = ()
    header: str = ""
    state: str = ""


# From azd 1.32's source: account/subscriptions.go; azapi/standard_deployments.go for deployments, and
# resource_service.go, log_analytics.go beside it; infra/provisioning_progress_display.go for operations;
# infra/provisioning/bicep/bicep_provider.go for the preview; keyvault/keyvault.go. All stand below cli/azd/pkg.
SHOWN = ("id", "name", "type", "properties.provisioningState", "properties.timestamp:time")
TAGGED = (*SHOWN, "tags.azd-env-name", "tags.azd-project-name")
READS = (
    Reads("GET", "/tenants", 200, ("value[].tenantId", "value[].displayName")),
    Reads(
        "GET",
        "/subscriptions",
        200,
        ("value[].subscriptionId", "value[].tenantId", "value[].displayName"),
    ),
    Reads(
        "GET",
        ".*/locations",
        200,
        (
            "value[].name",
            "value[].displayName",
            "value[].metadata.regionType",
            "value[].metadata.physicalLocation",
        ),
    ),
    Reads("GET", ".*/Microsoft.Resources/deployments/", 200, tuple(f"value[].{field}" for field in TAGGED)),
    Reads("POST", f"{DEPLOYMENT}/validate", 200, ("id", "properties.provisioningState")),
    Reads("POST", f"{DEPLOYMENT}/validate", 400, ("error.code", "error.message")),
    Reads("PUT", DEPLOYMENT, 201, TAGGED, header="Azure-AsyncOperation"),
    Reads("GET", f"{DEPLOYMENT}/operationStatuses/.*", 200, ("status",)),
    Reads(
        "GET", f"{DEPLOYMENT}/operationStatuses/.*", 200, ("error.code", "error.message"), state="!Succeeded"
    ),
    Reads("GET", DEPLOYMENT, 200, (*TAGGED, "properties.templateHash")),
    Reads("GET", NESTED, 200, SHOWN),
    Reads(
        "GET",
        DEPLOYMENT,
        200,
        (
            "properties.outputs?.*.type",
            "properties.outputs?.*.value:any",
            "properties.outputResources[].id",
        ),
        state="Succeeded",
    ),
    Reads(
        "GET",
        DEPLOYMENT,
        200,
        (
            "properties.dependencies[].resourceType",
            "properties.dependencies[].dependsOn[].resourceType",
            "properties.dependencies[].dependsOn[].resourceName",
        ),
        state="!Succeeded",
    ),
    Reads(
        "GET",
        ".*/deployments/[^/]+/operations",
        200,
        (
            "value[].id",
            "value[].properties.provisioningOperation",
            "value[].properties.provisioningState",
            "value[].properties.timestamp:time",
            "value[].properties.duration:duration",
            "value[].properties.targetResource.id",
            "value[].properties.targetResource.resourceType",
            "value[].properties.targetResource.resourceName",
        ),
    ),
    Reads("POST", f"{DEPLOYMENT}/cancel", 204),
    Reads("POST", ".*/calculateTemplateHash", 200, ("templateHash",)),
    Reads("POST", f"{DEPLOYMENT}/whatIf", 202, header="Location"),
    Reads(
        "GET",
        f"{DEPLOYMENT}/whatIfResults/.*",
        200,
        (
            "status",
            "properties.changes[].resourceId",
            "properties.changes[].changeType",
            "properties.changes[].after.type",
            "properties.changes[].after.name",
            "properties.changes[].delta?[].path",
            "properties.changes[].delta?[].propertyChangeType",
        ),
    ),
    Reads("HEAD", ".*/resourceGroups/rg-dev", 204),
    Reads("GET", ".*/resourcegroups", 200, IDENTITY),
    Reads("GET", ".*/resourceGroups/rg-dev/resources", 200, IDENTITY),
    Reads("DELETE", ".*/resourcegroups/rg-dev", 202, header="Location"),
    Reads("GET", ".*/operation[rR]esults/.*", 200),
    Reads("GET", ".*/workspaces/log-.*", 200, ("id", "name")),
    Reads("DELETE", ".*/workspaces/log-.*", 200),
    Reads("GET", ".*/vaults/kv-.*", 200, ("id", "name", "location", "properties.enableSoftDelete:any")),
    Reads("POST", ".*/deletedVaults/kv-.*/purge", 202, header="Location"),
)


def rules(answered: Answered) -> list[Reads]:
    """Those that are about an answer."""
    asked = answered.request
    return [
        rule
        for rule in READS
        if (rule.method, rule.status) == (asked["method"], asked["status"])
        and re.fullmatch(rule.path, asked["path"])
        and (
            rule.state in {"", answered.state}
            or (rule.state.startswith("!") and answered.state not in {rule.state[1:], *UNDER_WAY})
        )
    ]


def members(body: Any, steps: list[str]) -> Iterator[Any]:
    """The values that a path leads to; None for one that is missing."""
    if not steps:
        yield body
        return
    step, *rest = steps
    name = step.removesuffix("[]")
    optional = name.endswith("?")
    if name == "*":
        found = list(body.values()) if isinstance(body, dict) else [None]
        for value in found:
            yield from members(value, rest)
        return
    value = body.get(name.removesuffix("?")) if isinstance(body, dict) else None
    if value is None and optional:
        return
    if step.endswith("[]"):
        for each in value if isinstance(value, list) else [None]:
            yield from members(each, rest)
    else:
        yield from members(value, rest)


def kept(value: Any, kind: str) -> bool:
    """Whether a value is there and of a kind."""
    if kind == "any":
        return value is not None
    pattern = {"": TEXT, "time": TIME, "duration": DURATION}[kind]
    return isinstance(value, str) and pattern.fullmatch(value) is not None


class Check:
    """Holds answers against the rules.

    Attributes:
        met: rule and field of every value that was found.
    """

    def __init__(self) -> None:
        self.met: set[tuple[Reads, str]] = set()

    def __call__(self, answered: Answered) -> None:
        assert answered.status == answered.request["status"], str(answered)
        applying = rules(answered)
        assert applying, f"nobody said what azd reads of {answered}"
        for rule in applying:
            assert not rule.header or rule.header in answered.headers, f"{rule.header} of {answered}"
            self.met.add((rule, ""))
            for field in rule.fields:
                path, _, kind = field.partition(":")
                for value in members(answered.body, path.split(".")):
                    assert kept(value, kind), f"{field} is {value!r} in {answered}"
                    self.met.add((rule, field))


def codes(error: Any) -> Iterator[str]:
    """Every code of an error, the innermost ones too, as azd looks for them."""
    for value in error.values() if isinstance(error, dict) else error if isinstance(error, list) else ():
        yield from codes(value)
    if isinstance(error, dict) and isinstance(error.get("code"), str):
        yield error["code"]


def play(home: Path, name: str, check: Check) -> tuple[Azd, list[Answered]]:
    """Replay a recording after those that went before it."""

    async def main() -> tuple[Azd, list[Answered]]:
        async with azd(home, check) as client:
            for earlier in RECORDINGS[name]["after"]:
                await client.play(earlier)
            return client, await client.play(name)

    return asyncio.run(main())


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_lab_answers_what_azd_asked(name: str, tmp_path: Path) -> None:
    recording = RECORDINGS[name]
    client, answers = play(tmp_path, name, Check())
    states = [one.state for one in answers if f"{{deployment {name}}}" in one.request["path"] and one.state]
    assert not states or states[-1] == recording["ends"]
    told = {code for one in answers for code in codes(one.body)}
    assert told >= set(recording["errors"])
    left = client.endpoint.api.store.list()
    if "down" in name or "preview-fresh" in name:
        assert left == []
    else:
        assert bool(left) == (recording["exit"] == 0 or "PUT" in {one.request["method"] for one in answers})


def test_everything_that_azd_reads_was_there_once(tmp_path: Path) -> None:
    check = Check()
    followed = {earlier for recording in RECORDINGS.values() for earlier in recording["after"]}
    for name in RECORDINGS.keys() - followed:
        play(tmp_path / name, name, check)
    wanted = {(rule, field) for rule in READS for field in ("", *rule.fields)}
    assert {(rule.path, field) for rule, field in wanted - check.met} == set()


def test_what_azd_deployed_is_recognised_as_unchanged(tmp_path: Path) -> None:
    _, (listed, hashed, _) = play(tmp_path, "up-unchanged", Check())
    [deployment] = listed.body["value"]
    assert deployment["properties"]["templateHash"] == hashed.body["templateHash"]
    assert deployment["tags"]["azd-provision-param-hash"]
