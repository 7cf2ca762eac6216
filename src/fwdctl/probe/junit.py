"""Probe results as JUnit XML: a suite for each box, a case for each path."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from fwdctl.output import xml_document, xml_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwdctl.probe.model import PathResult

ELEMENTS = {"fail": "failure", "inconclusive": "error", "skip": "skipped"}
COUNTS = {"failures": "fail", "errors": "inconclusive", "skipped": "skip"}


def junit(results: Sequence[PathResult]) -> str:
    """The document; `inconclusive` is an error, as JUnit calls a test that could not be carried out."""
    root = ET.Element("testsuites", {"name": "fwdctl probe", **_counts(results)})
    for box in dict.fromkeys(result.path.box.name for result in results):
        own = [result for result in results if result.path.box.name == box]
        suite = ET.SubElement(root, "testsuite", {"name": xml_text(box), **_counts(own)})
        for result in own:
            _case(suite, box, result)
    ET.indent(root)
    return xml_document(root)


def _counts(results: Sequence[PathResult]) -> dict[str, str]:
    found = [result.verdict for result in results]
    return {"tests": str(len(found)), **{name: str(found.count(v)) for name, v in COUNTS.items()}}  # type: ignore[arg-type]


def _case(suite: ET.Element, box: str, result: PathResult) -> None:
    case = ET.SubElement(
        suite, "testcase", classname=xml_text(f"fwdctl.{box}"), name=xml_text(result.path.label)
    )
    element = ELEMENTS.get(result.verdict)
    if element is not None:
        broken = result.broken
        said = ET.SubElement(case, element, message=xml_text(result.reason))
        if broken is not None:
            said.set("type", xml_text(broken.code))
            said.text = xml_text(f"{broken.segment}: {broken.evidence}\nNext: {broken.suggestion}")
    lines = [f"{finding.check}: {finding.verdict}: {finding.reason}" for finding in result.findings]
    lines += [f"warning: {warning.code}: {warning.evidence}" for warning in result.warnings]
    ET.SubElement(case, "system-out").text = xml_text("\n".join(lines))
