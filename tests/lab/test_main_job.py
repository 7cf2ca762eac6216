"""The main job on the lab: what a user types, with real packets."""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from support.programs import FWDCTL

if TYPE_CHECKING:
    from support.programs import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("deployed-lab")]


def states(lab: RunningLab) -> dict[str, str]:
    boxes = lab.fwdctl("jump", "status", "-o", "json").json["data"]["boxes"]
    return {box["name"]: box["state"] for box in boxes}


def forwarder_packets(lab: RunningLab) -> int:
    """Sum of the address translation counters in the forwarders' own iptables."""
    total = 0
    for node in lab.lab("status", "-o", "json").json["data"]["nodes"]:
        if node["name"].startswith("fwd"):
            saved = lab.lab("shell", node["name"], "--", "iptables-save", "-c", "-t", "nat").stdout
            for line in saved.splitlines():
                if "-j DNAT" in line:
                    total += int(line[1:].split(":")[0])
    return total


def test_boxes_are_stopped_after_up(lab: RunningLab) -> None:
    assert set(states(lab).values()) == {"Stopped"}


def test_probe_spoke_starts_the_box_and_stops_it_again(lab: RunningLab) -> None:
    envelope = lab.fwdctl("probe", "spoke", "-o", "json").json
    assert envelope["status"] == "succeeded"
    assert {check["verdict"] for check in envelope["data"]["checks"]} <= {"pass", "skip"}
    assert any(check["verdict"] == "pass" for check in envelope["data"]["checks"])
    assert set(states(lab).values()) == {"Stopped"}


def test_probe_hub_reaches_each_target_and_the_load_balancer(lab: RunningLab) -> None:
    envelope = lab.fwdctl("probe", "hub", "-o", "json").json
    text = json.dumps(envelope["data"])
    assert "192.168.42.65:8000" in text
    assert "192.168.42.66:8000" in text
    assert lab.topology["hub"]["loadBalancer"]["address"] in text
    assert envelope["exitCode"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_box_as_it_was_found(lab: RunningLab, number: signal.Signals) -> None:
    with subprocess.Popen(
        [*FWDCTL, "jump", "exec", "spoke", "--start", "--", "sh", "-c", "echo runs; sleep 60"],
        env=lab.environ,
        cwd=lab.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert states(lab)["app"] == "Stopped"


def test_packets_pass_the_forwarders_own_rules(lab: RunningLab) -> None:
    lab.fwdctl("jump", "start", "spoke")
    host = lab.topology["spokes"][0]["hostName"]
    before = forwarder_packets(lab)
    loop = f"for i in 1 2 3 4 5 6 7; do curl -sS -o /dev/null http://{host}:8000/ || exit 1; done"
    lab.fwdctl("jump", "exec", "spoke", "--", "sh", "-c", loop)
    # The first packet of each connection passes the nat table.
    assert forwarder_packets(lab) - before == 7


def test_spoke_reaches_nothing_but_the_endpoint(lab: RunningLab) -> None:
    lab.fwdctl("jump", "start", "spoke")
    for address in ("192.168.42.65", lab.topology["hub"]["loadBalancer"]["address"]):
        command = f"curl -sS --max-time 2 http://{address}:8000/"
        assert lab.fwdctl("jump", "exec", "spoke", "--", "sh", "-c", command, expect=None).returncode != 0


def test_remote_exit_code_comes_back(lab: RunningLab) -> None:
    lab.fwdctl("jump", "start", "spoke")
    lab.fwdctl("jump", "exec", "spoke", "--", "sh", "-c", "exit 3", expect=3)


def probed_spoke(lab: RunningLab) -> dict[str, Any]:
    """The spoke's only path, which works."""
    envelope = lab.fwdctl("probe", "spoke", "-o", "json").json
    assert (envelope["status"], envelope["exitCode"]) == ("succeeded", 0)
    (path,) = envelope["data"]["paths"]
    assert path["verdict"] == "pass"
    return dict(path)


def test_one_dead_server_is_reported_and_the_path_still_passes(lab: RunningLab) -> None:
    lab.lab("break", "target-down")
    (unnamed,) = probed_spoke(lab)["warnings"]
    assert (unnamed["segment"], unnamed["code"]) == ("target", "TARGET_DOWN")
    assert unnamed["evidence"].startswith("1 of 2 servers answer")
    assert unnamed["evidence"].endswith("; only the hub can tell which is missing")
    lab.fwdctl("jump", "start", "hub")
    path = probed_spoke(lab)
    assert list(path["servers"]) == ["server66"]
    (named,) = path["warnings"]
    assert named["code"] == "TARGET_DOWN"
    assert "target 192.168.42.65:8000 of forward 'web'" in named["evidence"]


def test_counters_tell_which_servers_answer_a_protocol_without_names(lab: RunningLab) -> None:
    topology = lab.topology
    for forward in topology["forwards"]:
        forward.update(check="tcp", identityHeader="")
    plain = replace(lab, environ={**lab.environ, "FWD_TOPOLOGY": json.dumps(topology)})
    assert probed_spoke(plain)["checks"][-1] == {
        "check": "targets",
        "verdict": "skip",
        "reason": "which servers answer was not asked: the hub's jump box does not run",
    }
    lab.fwdctl("jump", "start", "hub")
    before = forwarder_packets(lab)
    path = probed_spoke(plain)
    assert forwarder_packets(lab) - before >= path["samples"]["made"] >= 4
    assert path["checks"][-1] == {
        "check": "targets",
        "verdict": "pass",
        "reason": "2 of 2 targets took connections: 192.168.42.65:8000, 192.168.42.66:8000",
    }
    assert path["warnings"] == []
    lab.lab("break", "target-down")
    (warning,) = probed_spoke(plain)["warnings"]
    assert warning["code"] == "TARGET_DOWN"
    assert "192.168.42.65:8000" in warning["evidence"]
    assert set(states(lab).values()) == {"Running", "Stopped"}


def test_no_server_left_is_a_broken_path(lab: RunningLab) -> None:
    lab.lab("break", "target-down", "--target", "all")
    envelope = lab.fwdctl("probe", "spoke", "-o", "json", expect=4).json
    assert envelope["status"] == "failed"
    lab.lab("heal")
    lab.fwdctl("probe", "spoke")
