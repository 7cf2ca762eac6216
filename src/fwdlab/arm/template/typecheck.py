"""Types of parameters and outputs: `$ref` to the template's definitions, constraints, discriminators."""

from __future__ import annotations

from typing import Any

from fwdlab.arm.template.registry import INT64
from fwdlab.arm.template.values import ExpressionError, equal, find_key, kind_of

# As written in templates without case: as deployment documents spell it, and the kind of JSON value.
_TYPES = {
    "string": ("String", "String"),
    "securestring": ("SecureString", "String"),
    "int": ("Int", "Integer"),
    "bool": ("Bool", "Boolean"),
    "array": ("Array", "Array"),
    "object": ("Object", "Object"),
    "secureobject": ("SecureObject", "Object"),
}
_DEEPEST = 20

Schema = dict[str, Any]


def resolve(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Follow `$ref`; what stands beside it (nullable, constraints, metadata) wins over the definition.

    Raises:
        ExpressionError: a reference leads nowhere or in a circle.
    """
    for _ in range(_DEEPEST):
        reference = schema.get("$ref")
        if reference is None:
            return {key: value for key, value in schema.items() if value is not None}
        name = str(reference).removeprefix("#/definitions/")
        if name not in definitions:
            raise ExpressionError(f"The type definition '{reference}' is not found")
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**definitions[name], **beside}
    raise ExpressionError(f"The type definition '{schema.get('$ref')}' refers to itself")


def declared_type(schema: Schema, definitions: dict[str, Schema], value: Any) -> tuple[str, str]:
    """A type as deployment documents spell it, e.g. `SecureString`, and the kind of JSON value that it takes.

    Where none is declared, the value's own.

    Raises:
        ExpressionError: an unknown type.
    """
    schema = resolve(schema, definitions)
    if "type" not in schema:
        kind = kind_of(value)
        return next((spelled for spelled, known in _TYPES.values() if known == kind), "Object"), kind
    kind = str(schema["type"]).lower()
    if kind not in _TYPES:
        spellings = ", ".join(spelled for spelled, _ in _TYPES.values())
        raise ExpressionError(f"The type '{kind}' is not valid. Expected one of {spellings}")
    return _TYPES[kind]


def check(path: str, value: Any, schema: Schema, definitions: dict[str, Schema]) -> None:
    """Refuse a value that does not fit a type.

    Args:
        path: the parameter's name, below it `name.property` and `name[0]`.
        value: the value.
        schema: the type.
        definitions: the template's.

    Raises:
        ExpressionError: with ARM's text.
    """
    schema = resolve(schema, definitions)
    if value is None and schema.get("nullable"):
        return
    _, wanted = declared_type(schema, definitions, value)
    if kind_of(value) != wanted:
        raise _invalid(
            path, f"Expected a value of type '{wanted}', but received a value of type '{kind_of(value)}'."
        )
    if wanted == "Integer" and value not in INT64:
        raise _invalid(path, f"The value '{value}' is not in the range of a 64-bit integer.")
    _allowed(path, value, schema)
    _limits(path, value, schema)
    if isinstance(value, list):
        _elements(path, value, schema, definitions)
    if isinstance(value, dict):
        _members(path, value, schema, definitions)


def _allowed(path: str, value: Any, schema: Schema) -> None:
    allowed = schema.get("allowedValues")
    if allowed is None or any(equal(value, one) for one in allowed):
        return
    if isinstance(value, list) and all(any(equal(item, one) for one in allowed) for item in value):
        return
    listed = ",".join(str(one) for one in allowed)
    raise ExpressionError(
        f"The provided value '{value}' for the template parameter '{path}' is not valid. The value "
        f"'{value}' is not part of the allowed value(s): '{listed}'."
    )


def _limits(path: str, value: Any, schema: Schema) -> None:
    if isinstance(value, (str, list)):
        _within(path, "Length of the value", len(value), schema.get("minLength"), schema.get("maxLength"))
    if isinstance(value, int):
        _within(path, "The value", value, schema.get("minValue"), schema.get("maxValue"))


def _within(path: str, what: str, number: int, least: int | None, most: int | None) -> None:
    if least is not None and number < least:
        raise _invalid(path, f"{what} should be greater than or equal to '{least}'.")
    if most is not None and number > most:
        raise _invalid(path, f"{what} should be less than or equal to '{most}'.")


def _invalid(path: str, reason: str) -> ExpressionError:
    return ExpressionError(
        f"The provided value for the template parameter '{path}' is not valid. {reason} "
        f"Please see https://aka.ms/arm-create-parameter-file for usage details."
    )


def _elements(path: str, value: list[Any], schema: Schema, definitions: dict[str, Schema]) -> None:
    ahead = schema.get("prefixItems", [])
    items = schema.get("items")
    if items is False and len(value) > len(ahead):
        raise _invalid(path, f"It may have no more than {len(ahead)} element(s).")
    for index, item in enumerate(value):
        kind = ahead[index] if index < len(ahead) else items
        if isinstance(kind, dict):
            check(f"{path}[{index}]", item, kind, definitions)


def _members(path: str, value: dict[str, Any], schema: Schema, definitions: dict[str, Schema]) -> None:
    if "discriminator" in schema:
        schema = {**schema, **_variant(path, value, schema["discriminator"], definitions)}
    properties: dict[str, Schema] = schema.get("properties", {})
    missing = [
        name
        for name, kind in properties.items()
        if find_key(value, name) is None and not resolve(kind, definitions).get("nullable")
    ]
    if missing:
        names = ", ".join(missing)
        raise _invalid(path, f"The following properties are required but were not provided: '{names}'.")
    additional = schema.get("additionalProperties")
    for name, item in value.items():
        known = find_key(properties, name)
        if known is not None:
            check(f"{path}.{name}", item, properties[known], definitions)
        elif additional is False:
            raise _invalid(path, f"The property '{name}' is not permitted.")
        elif isinstance(additional, dict):
            check(f"{path}.{name}", item, additional, definitions)


def _variant(
    path: str, value: dict[str, Any], discriminator: dict[str, Any], definitions: dict[str, Schema]
) -> Schema:
    name, mapping = discriminator["propertyName"], discriminator["mapping"]
    key = find_key(value, name)
    if key is None or not isinstance(value[key], str) or value[key] not in mapping:
        raise _invalid(path, f"The property '{name}' must be one of '{', '.join(mapping)}'.")
    variant = resolve(mapping[value[key]], definitions)
    properties = {name: {"type": "string"}, **variant.get("properties", {})}
    return {**variant, "properties": properties}
