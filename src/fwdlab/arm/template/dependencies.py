"""What the resources of a template wait for, and the order that follows from it."""

from __future__ import annotations

from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from fwdlab.arm.template.environment import Unresolved, not_defined
from fwdlab.arm.template.failures import invalid_expression, invalid_template
from fwdlab.arm.template.values import ExpressionError

if TYPE_CHECKING:
    from fwdlab.arm.template.environment import Frame, Need
    from fwdlab.arm.template.expansion import ExpandedResource, Expansion


def dependencies(expansion: Expansion) -> dict[str, frozenset[str]]:
    """The keys that each resource waits for, by its own key.

    Raises:
        ArmError: InvalidTemplate: an unknown name, an expression that is not valid, or a circle.
    """
    found: dict[str, frozenset[str]] = {}
    for key, resource in expansion.resources.items():
        try:
            waits = _explicit(expansion, resource) | _earlier_batch(expansion, resource)
            if resource.written:
                waits |= _implicit(expansion, resource)
        except ExpressionError as error:
            raise invalid_expression(resource.name, str(error)) from error
        found[key] = frozenset(waits - {key})
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        path = [expansion.resources[key].id for key in error.args[1]]
        raise invalid_template(
            f"Circular dependency detected on resource: '{path[0]}' (through {', '.join(path[1:])}). "
            f"Please see https://aka.ms/arm-syntax-resources for usage details."
        ) from error
    return found


def in_order(expansion: Expansion) -> list[ExpandedResource]:
    """The resources such that each stands behind those it waits for."""
    graph = {key: sorted(waits) for key, waits in expansion.depends_on.items()}
    return [expansion.resources[key] for key in TopologicalSorter(graph).static_order()]


def _explicit(expansion: Expansion, resource: ExpandedResource) -> set[str]:
    found: set[str] = set()
    entries = expansion.evaluator.value(resource.raw.get("dependsOn") or [], resource.frame)
    for entry in entries if isinstance(entries, list) else [entries]:
        keys = expansion.names.keys_of(str(entry))
        if keys is None:
            raise not_defined(str(entry))
        found |= set(keys)
    return found


def _earlier_batch(expansion: Expansion, resource: ExpandedResource) -> set[str]:
    loop = resource.raw.get("copy")
    if not isinstance(loop, dict) or str(loop.get("mode", "parallel")).lower() != "serial":
        return set()
    size, index = int(loop.get("batchSize") or 1), resource.frame.copies[0][1]
    start = index // size * size
    stem = resource.key.rpartition("[")[0]
    return {f"{stem}[{turn}]" for turn in range(max(0, start - size), start)} & expansion.resources.keys()


def _implicit(expansion: Expansion, resource: ExpandedResource) -> set[str]:
    """The resources that a body refers to, as far as can be seen before any has run."""
    needs: set[Need] = set()
    frame = replace(resource.frame, known={}, pending=needs)
    body = expansion.evaluator.value(resource.body, frame)
    if not needs:
        expansion.constant[resource.key] = body
    template = (
        resource.raw["properties"].get("template") if resource.is_deployment and resource.outer else None
    )
    if isinstance(template, dict):  # any other is refused when the deployment is read
        for section in ("resources", "outputs"):
            needs |= _needs_below(expansion, template.get(section), replace(frame, pending=None))
    return {key for need in needs if (key := expansion.names.key_of_id(need.id)) is not None}


def _needs_below(expansion: Expansion, value: Any, frame: Frame) -> set[Need]:
    """What the expressions of an outer-scope nested template ask for.

    They are this template's expressions; those of its own loops cannot be seen from here.
    """
    if isinstance(value, (dict, list)):
        items = value.values() if isinstance(value, dict) else value
        return set().union(*(_needs_below(expansion, item, frame) for item in items))
    try:
        expansion.evaluator.value(value, frame)
    except Unresolved as unresolved:
        return set(unresolved.needs)
    except ExpressionError:
        pass
    return set()
