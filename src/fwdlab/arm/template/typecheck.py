"""Types of parameters and outputs: `$ref` to the template's definitions, constraints, discriminators."""

from __future__ import annotations

from typing import Any

from fwdlab.arm.template.values import ExpressionError, equal, find_key, kind_of

_KINDS = {
    "string": ("String",),
    "securestring": ("String",),
    "int": ("Integer",),
    "bool": ("Boolean",),
    "array": ("Array",),
    "object": ("Object",),
    "secureobject": ("Object",),
}
_SPELLING = {
    "string": "String",
    "securestring": "SecureString",
    "int": "Int",
    "bool": "Bool",
    "array": "Array",
    "object": "Object",
    "secureobject": "SecureObject",
}
_BY_VALUE = {"String": "String", "Integer": "Int", "Boolean": "Bool", "Array": "Array"}
_HELP = "Please see https://aka.ms/arm-create-parameter-file for usage details."
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


def type_name(schema: Schema, definitions: dict[str, Schema], value: Any) -> str:
    """The type as deployment documents spell it, e.g. `SecureString`; the value's where none is declared.

    Raises:
        ExpressionError: an unknown type.
    """
    schema = resolve(schema, definitions)
    if "type" not in schema:
        return _BY_VALUE.get(kind_of(value), "Object")
    kind = str(schema["type"]).lower()
    if kind not in _SPELLING:
        raise ExpressionError(
            f"The type '{kind}' is not valid. Expected one of {', '.join(_SPELLING.values())}"
        )
    return _SPELLING[kind]


def check(path: str, value: Any, schema: Schema, definitions: dict[str, Schema]) -> None:
    """Check a value against a type.

    Args:
        path: how messages name the value: the parameter's name, below it `name.property` and `name[0]`.
        value: the value.
        schema: the parameter's, output's or property's type.
        definitions: the template's.

    Raises:
        ExpressionError: it does not fit; the text is ARM's.
    """
    schema = resolve(schema, definitions)
    if value is None and schema.get("nullable"):
        return
    type_name(schema, definitions, value)  # refuses unknown types
    wanted = _KINDS[str(schema["type"]).lower()] if "type" in schema else (kind_of(value),)
    if kind_of(value) not in wanted:
        raise ExpressionError(
            f"The provided value for the template parameter '{path}' is not valid. Expected a value of type "
            f"'{wanted[0]}', but received a value of type '{kind_of(value)}'. {_HELP}"
        )
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
    start = f"The provided value for the template parameter '{path}' is not valid."
    if isinstance(value, (str, list)):
        least, most = schema.get("minLength"), schema.get("maxLength")
        if least is not None and len(value) < least:
            raise ExpressionError(
                f"{start} Length of the value should be greater than or equal to '{least}'. {_HELP}"
            )
        if most is not None and len(value) > most:
            raise ExpressionError(
                f"{start} Length of the value should be less than or equal to '{most}'. {_HELP}"
            )
    if isinstance(value, int):
        least, most = schema.get("minValue"), schema.get("maxValue")
        if least is not None and value < least:
            raise ExpressionError(f"{start} The value should be greater than or equal to '{least}'. {_HELP}")
        if most is not None and value > most:
            raise ExpressionError(f"{start} The value should be less than or equal to '{most}'. {_HELP}")


def _elements(path: str, value: list[Any], schema: Schema, definitions: dict[str, Schema]) -> None:
    ahead = schema.get("prefixItems", [])
    items = schema.get("items")
    if items is False and len(value) > len(ahead):
        raise ExpressionError(
            f"The provided value for the template parameter '{path}' is not valid. It may have no more than "
            f"{len(ahead)} element(s). {_HELP}"
        )
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
        raise ExpressionError(
            f"The provided value for the template parameter '{path}' is not valid. The following properties "
            f"are required but were not provided: '{', '.join(missing)}'. {_HELP}"
        )
    additional = schema.get("additionalProperties")
    for name, item in value.items():
        known = find_key(properties, name)
        if known is not None:
            check(f"{path}.{name}", item, properties[known], definitions)
        elif additional is False:
            raise ExpressionError(
                f"The provided value for the template parameter '{path}' is not valid. The property "
                f"'{name}' is not permitted. {_HELP}"
            )
        elif isinstance(additional, dict):
            check(f"{path}.{name}", item, additional, definitions)


def _variant(
    path: str, value: dict[str, Any], discriminator: dict[str, Any], definitions: dict[str, Schema]
) -> Schema:
    name, mapping = discriminator["propertyName"], discriminator["mapping"]
    key = find_key(value, name)
    if key is None or not isinstance(value[key], str) or value[key] not in mapping:
        raise ExpressionError(
            f"The provided value for the template parameter '{path}' is not valid. The property '{name}' "
            f"must be one of '{', '.join(mapping)}'. {_HELP}"
        )
    variant = resolve(mapping[value[key]], definitions)
    properties = {name: {"type": "string"}, **variant.get("properties", {})}
    return {**variant, "properties": properties}
