"""Probe results as JUnit XML: a suite for each box, a case for each path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from fwdctl.output import xml_document, xml_text

if TYPE_CHECKING:
    from fwdctl.probe.model import PathResult

ELEMENTS = {"fail": "failure", "untested": "error", "skip": "skipped"}
COUNTS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def junit(results: Sequence[PathResult], *, strict: bool = False) -> str:
    """The document; `inconclusive` is an error, as JUnit calls a test that could not be carried out.

    A warning is a test that passed; with `strict`, a failure.
    """
    elements = {**ELEMENTS, "warn": "failure"} if strict else ELEMENTS
    root = ET.Element("testsuites", {"name": "fwdctl probe", **_counts(results, elements)})
    for box in dict.fromkeys(result.path.box.name for result in results):
        own = [result for result in results if result.path.box.name == box]
        suite = ET.SubElement(root, "testsuite", {"name": xml_text(box), **_counts(own, elements)})
        for result in own:
            _case(suite, box, result, elements.get(result.word))
    ET.indent(root)
    return xml_document(root)


def _counts(results: Sequence[PathResult], elements: Mapping[str, str]) -> dict[str, str]:
    found = [elements.get(result.word) for result in results]
    return {"tests": str(len(found)), **{name: str(found.count(each)) for name, each in COUNTS.items()}}


def _case(suite: ET.Element, box: str, result: PathResult, element: str | None) -> None:
    case = ET.SubElement(
        suite, "testcase", classname=xml_text(f"fwdctl.{box}"), name=xml_text(result.path.label)
    )
    if element is not None:
        said = ET.SubElement(case, element, message=xml_text(result.reason))
        for broken in result.causes[:1]:
            said.set("type", xml_text(broken.code))
            said.text = xml_text(f"{broken.segment}: {broken.evidence}\nNext: {broken.suggestion}")
    lines = [f"{finding.check}: {finding.verdict}: {finding.reason}" for finding in result.findings]
    lines += [f"warning: {warning.code}: {warning.evidence}" for warning in result.warnings]
    ET.SubElement(case, "system-out").text = xml_text("\n".join(lines))
