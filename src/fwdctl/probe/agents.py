"""Ask the forwarders' agents (`/status`, docs/architecture.md §3) from the hub's jump box."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fwdctl.deployment import Forward

Report = dict[str, Any]
WANTED_TAG = "fwdctl-forwards-hash"
"""Set by the template on the scale set: the hash of what the agents shall forward."""


def script(addresses: Sequence[str], port: int, path: str = "/status") -> str:
    """Print `ADDRESS JSON` for each agent that answers, `ADDRESS` alone for one that does not.

    curl and python3 print what came with any HTTP status, wget only what came with a good one.
    """
    python = (
        "import sys, http.client as h; c = h.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=3); "
        'c.request("GET", sys.argv[3]); print(c.getresponse().read().decode())'
    )
    return f"""
ask() {{
  if command -v curl >/dev/null; then curl -sS -m 3 --noproxy '*' "http://$1:$2$3"
  elif command -v python3 >/dev/null; then python3 -c '{python}' "$1" "$2" "$3"
  else no_proxy='*' wget -q -T 3 -O - "http://$1:$2$3"
  fi
}}
for a in {" ".join(addresses)}; do
  (j=$(ask "$a" {port} {shlex.quote(path)} 2>/dev/null); printf '%s %s\\n' "$a" "$j") &
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


def configuration(user_data: str) -> dict[str, Any]:
    """User data (base64) as the agent reads it; empty where it is none of ours."""
    try:
        document = json.loads(base64.b64decode(user_data, validate=True))
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def given(user_data: str) -> Report:
    """What an agent will say of the configuration in user data (base64); empty where that is none of ours."""
    told = configuration(user_data)
    try:
        forwards = [
            {**each, "targets": [{"address": target} for target in each["targets"]]}
            for each in told["forwards"]
        ]
    except (KeyError, TypeError):
        return {}
    own = {"inbound": told.get("inbound") or (), "draining": told.get("drain") is True}
    return {"hash": told.get("hash"), "forwards": forwards, **own}


def entry(report: Report, forward: Forward) -> Report:
    """What a report says of one forward; empty where it is not in it."""
    found = report.get("forwards") or ()
    return next((each for each in found if each.get("name") == forward.name), {})


def crowded(report: Report) -> str:
    """How full connection tracking is, where the agent says that it is nearly full; else empty."""
    told = report.get("conntrack") or {}
    full = "FWD_CONNTRACK_FULL" in (report.get("codes") or ())
    return f"{told.get('count')} of {told.get('max')} connections" if full else ""


def unresolved(reports: Iterable[Report], forward: Forward) -> dict[str, str]:
    """Names of a forward's targets that a forwarder cannot resolve, each with what its resolver said."""
    hosts = {target.rpartition(":")[0] for target in forward.targets}
    failed = [report.get("namesFailed") or {} for report in reports]
    return {host: str(error) for each in failed for host, error in each.items() if host in hosts}


def addresses(reports: Iterable[Report], forward: Forward) -> set[str]:
    """Every address that a forwarder has for the targets of a forward: a name may have several."""
    listed = (target for report in reports for target in entry(report, forward).get("targets") or ())
    return {str(target.get("address")) for target in listed}


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
