"""The shapes of ARM bodies as data: what a property must be, and what it is when it is left out.

`spelled` is the door: it writes the names that a shape or Azure knows, and ids, as Azure does. `normal` then
reads a body by its shape. It refuses a value of the wrong kind, out of range or missing, puts in the
defaults, writes choices and numbers as the service answers them, and gives the parts of a resource that have
an id of their own (a subnet, a probe) id, type and state. Properties that a shape does not name pass as they
are, but for numbers and flags that Azure publishes: ARM documents are larger than what the lab looks at.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from fwdlab.arm.errors import ArmError
from fwdlab.arm.services.published import NOTHING, flag_of, number_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fwdlab.arm.services.published import Published

_KINDS: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    list: "an array",
}


@dataclass(frozen=True)
class Shape:
    """What one JSON value must be.

    Attributes:
        kind: its Python type.
        default: what stands for a value that is left out; None for nothing.
        required: whether it may be left out.
        choices: what a text may be, compared without case.
        within: what a number may be.
        code: ARM's code for a missing value and for one that is no choice or out of range.
        message: the text that goes with it; `{place}`, `{value}` and `{choices}` are filled in.
        fields: of an object.
        each: of an array's items, or of an object's members whatever their names.
        ignored: what is said of a value that has no effect in the lab.
        secret: whether it is only written: no document has it.
        parts: whether the items are resources below this one, with id, type and provisioning state.
        is_id: whether a text is the id of a resource.
    """

    kind: type
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()
    within: range | None = None
    code: str = "InvalidRequestFormat"
    message: str = ""
    fields: Mapping[str, Shape] = field(default_factory=dict)
    each: Shape | None = None
    parts: bool = False
    is_id: bool = False
    ignored: str = ""
    secret: bool = False

    @cached_property
    def names(self) -> dict[str, str]:
        """The names of its fields by their lower case."""
        return {name.lower(): name for name in self.fields}

    def collections(self) -> Iterator[str]:
        """The names of all arrays of parts in it, which are words of ids."""
        for name, inner in self.fields.items():
            if inner.parts:
                yield name
            yield from inner.collections()
        if self.each is not None:
            yield from self.each.collections()


@dataclass(frozen=True)
class Place:
    """Where a value stands: the innermost resource or part, its type, and the path below it."""

    id: str
    type: str
    path: str = ""

    def below(self, name: str) -> Place:
        return Place(self.id, self.type, f"{self.path}.{name}".lstrip("."))

    def part(self, name: str) -> Place:
        collection = self.path.rpartition(".")[2]
        return Place(f"{self.id}/{collection}/{name}", f"{self.type}/{collection}")

    def __str__(self) -> str:
        return f"{self.id}: {self.path}"


def text(default: str | None = None, *choices: str, **more: Any) -> Shape:
    return Shape(str, default, choices=choices, **more)


def number(default: int | None = None, within: range | None = None, **more: Any) -> Shape:
    return Shape(int, default, within=within, **more)


def decimal() -> Shape:
    return Shape(float)


def flag(*, default: bool | None = None, **more: Any) -> Shape:
    return Shape(bool, default, **more)


def secret(kind: type = str) -> Shape:
    """What the service takes and never answers."""
    return Shape(kind, secret=True)


def optional(**fields: Shape) -> Shape:
    """An object that stays away when it is left out."""
    return Shape(dict, fields=fields)


def record(**fields: Shape) -> Shape:
    """An object that is there, with its own defaults, also when it is left out."""
    return Shape(dict, {}, fields=fields)


def reference() -> Shape:
    """`{"id": …}`, which may be left out; whether it leads anywhere is the provider's to say."""
    return optional(id=identifier())


def identifier(default: str | None = None) -> Shape:
    return text(default, is_id=True)


def items(each: Shape, *, default: list[Any] | None = None, **more: Any) -> Shape:
    return Shape(list, default, each=each, **more)


def named(**properties: Shape) -> Shape:
    """A list of `{"name": …, "properties": {…}}`; empty when it is left out."""
    entry = optional(name=text(required=True), properties=record(**properties))
    return Shape(list, [], each=entry)


def parts(**properties: Shape) -> Shape:
    """As `named`, of what has an id below the resource's own."""
    return Shape(list, [], each=named(**properties).each, parts=True)


def texts(default: dict[str, str] | None = None) -> Shape:
    """An object whose names are the client's, e.g. tags."""
    return Shape(dict, default, each=text())


def body(top: Mapping[str, Shape] | None = None, /, **properties: Shape) -> Shape:
    """A resource's whole body: properties, and what a type has beside them, e.g. its sku."""
    common = {
        "name": text(),
        "location": text(),
        "tags": texts(),
        "zones": items(text()),
        "properties": record(**properties),
        "sku": optional(name=text(), tier=text(), family=text()),
        "identity": optional(type=text(), userAssignedIdentities=optional()),
    }
    return Shape(dict, {}, fields={**common, **(top or {})})


_UNSEEN = Shape(dict, is_id=True)
"""What a shape does not name: only spelled."""


def spelled(shape: Shape, value: Any, id_of: Callable[[str], str], known: Published = NOTHING) -> Any:
    """A copy with the names that the shape knows, or Azure has published, in their casing.

    Ids are as `id_of` writes them. Of two names that differ in case alone the last one counts, as in ARM's
    JSON reader.
    """
    if isinstance(value, dict):
        made: dict[str, Any] = {
            shape.names.get(str(name).lower()) or known.word(str(name)): item for name, item in value.items()
        }
        return {name: _member(shape, name, item, id_of, known) for name, item in made.items()}
    if isinstance(value, list):
        return [spelled(shape.each or _UNSEEN, item, id_of, known) for item in value]
    return id_of(value) if shape.is_id and isinstance(value, str) and value.startswith("/") else value


def _member(shape: Shape, name: str, value: Any, id_of: Callable[[str], str], known: Published) -> Any:
    inner = shape.fields.get(name, _UNSEEN)
    if not inner.fields and name in known.free:
        return value  # its names are the client's
    if inner is _UNSEEN:
        value = known.converted(name, value)
    return spelled(inner, value, id_of, known)


def normal(shape: Shape, value: Any, place: Place) -> Any:
    """A copy of a value as its shape wants it.

    Raises:
        ArmError: 400, with the shape's code or `InvalidRequestFormat`.
    """
    value = _converted(shape, value)
    if not isinstance(value, shape.kind) or (shape.kind in {int, float} and isinstance(value, bool)):
        refusal = f"Cannot parse the request. {place} must be {_KINDS[shape.kind]}."
        raise ArmError(400, "InvalidRequestFormat", refusal, target=place.path or None)
    if isinstance(value, dict):
        return _object(shape, value, place)
    if isinstance(value, list):
        return [_item(shape, item, place, position) for position, item in enumerate(value)]
    if (shape.choices and value not in shape.choices) or (shape.within and value not in shape.within):
        _refuse(shape, value, place)
    return value


def without_effect(shape: Shape, value: Any, owner: str) -> Iterator[str]:
    """What of a stored value the lab ignores, each with the id of the resource or part it belongs to."""
    if shape.ignored and value:
        yield f"{owner}: {shape.ignored}"
    if isinstance(value, dict):
        for name, wanted in shape.fields.items():
            yield from without_effect(wanted, value.get(name), value.get("id", owner))
    elif isinstance(value, list) and shape.each is not None:
        for item in value:
            yield from without_effect(shape.each, item, owner)


def mark_parts(shape: Shape, value: Any, name: str, mark: str) -> None:
    """Set a member of every part in a document, in place."""
    if isinstance(value, dict):
        for inner, wanted in shape.fields.items():
            mark_parts(wanted, value.get(inner), name, mark)
    elif isinstance(value, list) and shape.each is not None:
        for item in value:
            if shape.parts:
                item[name] = mark
            mark_parts(shape.each, item, name, mark)


def _converted(shape: Shape, value: Any) -> Any:
    """A number or flag given as a string, a string given as one of these, a choice in another casing."""
    if shape.kind in {int, float} and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return _number(shape, value)
    if shape.kind is str and isinstance(value, (bool, int, float)):
        return str(value).lower()
    if shape.kind is bool and isinstance(value, str):
        return flag_of(value)
    if isinstance(value, str):
        return next((one for one in shape.choices if one.lower() == value.lower()), value)
    return value


def _number(shape: Shape, value: str | float) -> Any:
    """The number that a text or number stands for, None where it is none of the kind."""
    found = number_of(value)
    if shape.kind is float:
        return None if found is None else float(found)
    return found if isinstance(found, int) else None


def _object(shape: Shape, value: dict[str, Any], place: Place) -> dict[str, Any]:
    made = {name: copy.deepcopy(own) for name, own in value.items() if name not in shape.fields}
    if shape.each is not None:
        made = {name: normal(shape.each, item, place.below(name)) for name, item in made.items()}
    for name, wanted in shape.fields.items():
        given = value.get(name)
        if given is None:
            given = copy.deepcopy(wanted.default)
        if given is not None:
            made[name] = normal(wanted, given, place.below(name))
            if wanted.secret:
                del made[name]
        elif wanted.required:
            _refuse(wanted, None, place.below(name))
    return made


def _item(shape: Shape, value: Any, place: Place, position: int) -> Any:
    where = Place(place.id, place.type, f"{place.path}[{position}]")
    if shape.each is None:
        return copy.deepcopy(value)
    if not shape.parts or not isinstance(value, dict) or not value.get("name"):
        return normal(shape.each, value, where)
    own = place.part(str(value["name"]))
    made: dict[str, Any] = normal(shape.each, value, own)
    made["id"], made["type"] = own.id, own.type
    made.pop("etag", None)
    made["properties"]["provisioningState"] = "Succeeded"
    return made


def _refuse(shape: Shape, value: Any, place: Place) -> NoReturn:
    choices = ", ".join(shape.choices)
    message = shape.message or ("{place} must be one of {choices}, not '{value}'." if choices else "")
    message = message or ("{place} is missing." if value is None else "{place} cannot be {value}.")
    filled = message.format(place=place, value=value, choices=choices)
    raise ArmError(400, shape.code, filled, target=place.path or None)
