"""Whatever a body looks like: no failure of the lab, no hang, and no known property that is lost in silence."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fwdlab.arm.errors import ArmError
from fwdlab.fabric.plan import plan
from support.arm_clients import Client, served
from support.azure_types import AzureTypes, folder
from support.controlplane import GROUP, NETWORK, PROVIDERS, new_api, seed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from fwdlab.arm.api import ArmApi
    from fwdlab.arm.services.shapes import Shape

NO_HANG = timedelta(seconds=10)
ODD: list[Any] = [
    *(None, True, 0, -1, 1.5, 2**70, "", "x", "0", "/subscriptions/x"),
    *([], [[]], [None], ["x"], [{}], [{"name": "a"}], {}, {"a": {}}, {"id": 1}),
]


def _seeded() -> ArmApi:
    made = new_api()
    asyncio.run(seed(made, GROUP))
    return made


API = _seeded()
BODIES = {
    one.id: asyncio.run(API.get(one.id))
    for one in API.store.list()
    if one.id != GROUP and ".nic." not in one.id
}
"""Documents of the seed, as clients send them back; nobody writes the interfaces of endpoints."""
_VNET, _BOX = (
    f"{NETWORK}/virtualNetworks/hub",
    f"{PROVIDERS}/Microsoft.ContainerInstance/containerGroups/jump",
)
_INSTANCE = f"{PROVIDERS}/Microsoft.Compute/virtualMachineScaleSets/fwd/virtualMachines/0"


class _Enough(Exception):  # noqa: N818 - it ends what is then undone
    pass


@contextlib.contextmanager
def undone() -> Iterator[None]:
    """Take back what is changed in the control plane."""
    with contextlib.suppress(_Enough), API.store.batch():
        yield
        raise _Enough


def status_of(work: Coroutine[Any, Any, Any]) -> int:
    try:
        asyncio.run(work)
    except ArmError as error:
        return error.status
    return 200


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            found += places(item, (*path, key))
    return found


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    if not path:
        return to
    made = copy.copy(value)
    made[path[0]] = changed(value[path[0]], path[1:], to)
    return made


@dataclass(frozen=True)
class Writing:
    """How a client writes what the lab knows, and what it adds to every object."""

    name: Callable[[str], str]
    number: Callable[[int], Any]
    choice: Callable[[str], str]
    unknown: Any

    def of(self, shape: Shape, value: Any) -> Any:
        if isinstance(value, dict) and shape.fields:
            made = {self.name(key): self.of(shape.fields[key], item) for key, item in value.items()}
            return {**made, UNKNOWN: self.unknown}
        if isinstance(value, list) and shape.each is not None:
            return [self.of(shape.each, item) for item in value]
        if isinstance(value, str):
            return self.choice(value) if shape.choices or shape.is_id else value
        return self.number(value) if isinstance(value, int) and not isinstance(value, bool) else value


def nested(levels: int) -> Any:
    value: Any = "end"
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


CASES = st.sampled_from([str.lower, str.upper, str.title, str.swapcase])
UNKNOWN = "labOfMine"
WRITINGS = st.builds(
    Writing,
    name=CASES,
    number=st.sampled_from([str, float, int]),
    choice=CASES,
    unknown=st.one_of(st.sampled_from(ODD), st.integers(1, 100).map(nested)),
)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, Any]:
    """A document with one to three values replaced by odd ones."""
    resource_id = draw(st.sampled_from(sorted(BODIES)))
    body: Any = BODIES[resource_id]
    for _ in range(draw(st.integers(1, 3))):
        body = changed(body, draw(st.sampled_from(places(body))), draw(st.sampled_from(ODD)))
    return resource_id, body


@settings(max_examples=150, deadline=NO_HANG)
@given(damaged(), st.sampled_from(["put", "patch", "check"]))
@example((_VNET, {"location": []}), "put")
@example((_INSTANCE, {"properties": True}), "put")
@example((_BOX, {"properties": {"containers": [{"name": "a", "properties": []}]}}), "put")
def test_a_damaged_body_is_taken_or_refused(sent: tuple[str, Any], verb: str) -> None:
    resource_id, body = sent
    with undone():
        assert status_of(getattr(API, verb)(resource_id, body)) < 500
        assert asyncio.run(API.read(resource_id))
        plan(API.store.snapshot(), {})


def test_a_large_body_that_is_no_json_holds_nobody_up(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        sending = asyncio.create_task(client("PUT", client.endpoint.group, data=io.BytesIO(b"'" * 2_000_000)))
        longest = 0.0
        while not sending.done():
            begin = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - begin)
        assert (await sending).status == 400
        assert longest < 1

    served(tmp_path, scene)


@settings(max_examples=80, deadline=NO_HANG)
@given(st.sampled_from(sorted(BODIES)), WRITINGS)
def test_another_spelling_means_the_same(resource_id: str, writing: Writing) -> None:
    shape = API.world.provider(BODIES[resource_id]["type"]).sent_shape
    wanted = known(shape, BODIES[resource_id])
    body = copy.deepcopy(writing.of(shape, wanted))
    with undone():
        status = status_of(API.put(resource_id, body))
        assert status in {200, 405}  # instances and their interfaces are changed through their scale set
        if status != 200:
            return
        after = asyncio.run(API.get(resource_id))
        assert not list(lost(wanted, after, ""))
        if shape.fields["properties"].fields:
            assert after["properties"].get(UNKNOWN) == writing.unknown


@pytest.mark.skipif(folder() is None, reason="Azure's types are not beside the compiler")
@pytest.mark.parametrize("resource_id", sorted(BODIES))
def test_what_azure_publishes_and_the_lab_does_not_look_at_is_kept(resource_id: str) -> None:
    document, place = BODIES[resource_id], folder()
    assert place is not None
    provider = API.world.provider(document["type"])
    shape, sample = provider.sent_shape, AzureTypes(place).sample(document["type"])
    wanted = more(shape, known(shape, document), sample)
    with undone():
        status = status_of(API.put(resource_id, copy.deepcopy(wanted)))
        assert status == (405 if "/virtualMachines/" in resource_id else 200)
        if status == 200:
            found = lost(provider.spelled(shape, wanted), asyncio.run(API.get(resource_id)), "")
            assert not [one for one in found if not one.startswith(WORKED_OUT)]


WORKED_OUT = (
    *(".etag:", ".properties.ipAddress.ip:", ".properties.customDnsConfigs:"),
    ".properties.privateLinkServiceConnections[0].properties.privateLinkServiceConnectionState.",
)
"""What an answer has of its own, whatever was sent."""
OF_ARM = {"apiVersion", "dependsOn", "id", "name", "resources", "scope", "type"}


def more(shape: Shape | None, document: Any, sample: Any) -> Any:
    """A document with what a sample has besides, at any depth."""
    fields = shape.fields if shape is not None else {}
    if isinstance(document, dict) and isinstance(sample, dict):
        own = {name: more(fields.get(name), item, sample.get(name)) for name, item in document.items()}
        return own | {name: sample[name] for name in sample.keys() - own.keys() - fields.keys() - OF_ARM}
    if isinstance(document, list) and isinstance(sample, list):
        return [more(shape.each if shape is not None else None, item, sample[0]) for item in document]
    return document


def known(shape: Shape, value: Any) -> Any:
    """The part of a document that its shape knows."""
    if isinstance(value, dict) and shape.fields:
        return {key: known(shape.fields[key], item) for key, item in value.items() if key in shape.fields}
    if isinstance(value, list) and shape.each is not None:
        return [known(shape.each, item) for item in value]
    return copy.copy(value)


def lost(sent: Any, answered: Any, path: str) -> Iterator[str]:
    """Where an answer has not what was sent."""
    if isinstance(sent, dict) and isinstance(answered, dict):
        for key, item in sent.items():
            yield from lost(item, answered.get(key), f"{path}.{key}")
    elif isinstance(sent, list) and isinstance(answered, list) and len(sent) == len(answered):
        for position, item in enumerate(sent):
            yield from lost(item, answered[position], f"{path}[{position}]")
    elif isinstance(sent, str) and sent.startswith("/subscriptions/"):
        # The names in an id are answered as they were sent, the words between them as Azure writes them.
        if str(answered).lower() != sent.lower() or API.world.spelling.of(answered) != answered:
            yield f"{path}: {sent} became {answered}"
    elif sent != answered:
        yield f"{path}: {sent} became {answered}"
