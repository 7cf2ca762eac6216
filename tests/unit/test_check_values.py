"""Every place that lists the checks lists the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

from fwdctl.deployment.topology import Check
from fwdctl.template.parameters.models import Forward

ROOT = Path(__file__).parents[2]
AGENT = ROOT / "infra" / "cloud-init" / "forwarder" / "configuration.py"
CHECKS = set(get_args(Check))


def test_the_parameters_take_them() -> None:
    assert set(get_args(Forward.model_fields["check"].annotation)) == CHECKS


def test_bicep_takes_them() -> None:
    line = re.search(
        r"^  check: \((.*)\)\?$", (ROOT / "infra" / "types.bicep").read_text("utf-8"), re.MULTILINE
    )
    assert line is not None
    assert set(re.findall("'([a-z]+)'", line[1])) == CHECKS


@pytest.mark.skipif(not AGENT.exists(), reason="an agent of an older shape")
def test_the_agent_takes_them() -> None:
    (values,) = [
        ast.literal_eval(node.value)
        for node in ast.parse(AGENT.read_text("utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CHECKS"
    ]
    assert set(values) == CHECKS


def test_the_docs_explain_them() -> None:
    text = (ROOT / "docs" / "template.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([a-z]+)`[^|]*\| [^|]+\| [^|]+\|$", text, re.MULTILINE)) >= CHECKS
