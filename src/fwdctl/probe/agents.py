"""Ask the forwarders' agents (`/status`, docs/architecture.md §3) from the hub's jump box."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fwdctl.deployment import Forward

Report = dict[str, Any]


def script(addresses: Sequence[str], port: int) -> str:
    """Print `ADDRESS JSON` for each agent that answers, `ADDRESS` alone for one that does not."""
    python = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=3).read().decode())"
    return f"""
ask() {{
  if command -v curl >/dev/null; then curl -sS -m 3 --noproxy '*' "$1"
  elif command -v wget >/dev/null; then wget -q -T 3 -O - "$1"
  else no_proxy='*' python3 -c '{python}' "$1"
  fi
}}
for a in {" ".join(addresses)}; do
  (j=$(ask "http://$a:{port}/status" 2>/dev/null); printf '%s %s\\n' "$a" "$j") &
done
wait
"""


def parse(text: str) -> dict[str, Report | None]:
    """Reports by address; None from a forwarder that did not answer."""
    reports: dict[str, Report | None] = {}
    for line in text.splitlines():
        address, _, document = line.partition(" ")
        try:
            report = json.loads(document)
        except ValueError:
            report = None
        reports[address] = report if isinstance(report, dict) else None
    return reports


def entry(report: Report, forward: Forward) -> Report:
    """What a report says of one forward; empty where it is not in it."""
    found = report.get("forwards") or ()
    return next((each for each in found if each.get("name") == forward.name), {})


def down_everywhere(reports: Iterable[Report], forward: Forward) -> dict[str, str]:
    """Targets that no forwarder reaches, each with what one of them said."""
    down = [
        {
            str(target.get("address")): str(target.get("lastError") or "down")
            for target in entry(report, forward).get("targets") or ()
            if target.get("state") == "down"
        }
        for report in reports
    ]
    return {
        address: error
        for each in down
        for address, error in each.items()
        if all(address in other for other in down)
    }
