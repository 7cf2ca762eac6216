"""The wanted network as nftables text, and differences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fwdlab.fabric.apply import _LONGEST_SCRIPT, _fabric_lines, _parts, _portion
from fwdlab.fabric.plan import plan
from fwdlab.fabric.ruleset import Ruleset, _security_lines, compile_rules, difference, hop_counters
from fwdlab.fabric.wanted import Fabric, SecurityRule, Side
from fwdlab.model import ProbeHealth
from support.seed_topology import LB, snapshot


def up(*addresses: str) -> dict[tuple[str, str, str], ProbeHealth]:
    return {
        (LB.lower(), "probe", address): ProbeHealth(LB, "probe", address, "Up", "Up_Probe_Success")
        for address in addresses
    }


def test_nothing_to_do_is_no_script() -> None:
    rules = compile_rules(plan(snapshot(), up("10.0.1.6")))
    assert difference(rules, rules) == ""


def test_a_long_script_goes_in_parts_that_are_whole_lines() -> None:
    """nft refuses 60 spokes in one message: "Message too long"."""
    script = "".join(f"add rule ip fabric chain{number} accept\n" for number in range(3000))
    parts = list(_parts(script))
    assert len(parts) == -(-len(script) // _LONGEST_SCRIPT) > 1
    assert "".join(parts) == script
    assert all(part.endswith("\n") and len(part) <= _LONGEST_SCRIPT for part in parts)
    assert list(_parts("add table ip fabric\n")) == ["add table ip fabric\n"]


def test_health_changes_one_chain() -> None:
    before = compile_rules(plan(snapshot(), up("10.0.1.6", "10.0.1.7")))
    after = compile_rules(plan(snapshot(), up("10.0.1.6")))
    lines = difference(before, after).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("flush chain ip fabric lb_")
    assert lines[1].split(" ")[-3:-1] == ["counter", "name"]
    assert lines[2].endswith('meta l4proto tcp ct timeout set "idle_240"')
    assert lines[3].endswith("meta l4proto tcp dnat to 10.0.1.6:8000")


def test_no_healthy_member_drops_new_flows() -> None:
    rules = compile_rules(plan(snapshot(), {}))
    (chain,) = (lines for name, (_, lines) in rules.chains.items() if name.startswith("lb_"))
    assert chain[-1] == "drop"


def test_members_are_chosen_by_hash_of_the_flow() -> None:
    fabric = plan(snapshot(), up("10.0.1.6", "10.0.1.7"))
    (chain,) = (lines for name, (_, lines) in compile_rules(fabric).chains.items() if name.startswith("lb_"))
    assert "jhash ip saddr . tcp sport . ip daddr . tcp dport mod 2" in chain[-1]
    (balance,) = fabric.balances
    sticky = replace(fabric, balances=(replace(balance, affinity="SourceIP"),))
    (chain,) = (lines for name, (_, lines) in compile_rules(sticky).chains.items() if name.startswith("lb_"))
    assert "jhash ip saddr . ip daddr mod 2" in chain[-1]


def test_endpoint_passes_only_ports_with_a_rule() -> None:
    rules = compile_rules(plan(snapshot(), up("10.0.1.6")))
    (chain,) = (lines for name, (_, lines) in rules.chains.items() if name.startswith("pe_"))
    assert chain[1].startswith("tcp dport 8000 jump lb_")
    assert chain[-1] == "drop"


def test_removal_takes_references_away_before_the_chain() -> None:
    many, few = compile_rules(plan(snapshot((1, 2)), {})), compile_rules(plan(snapshot((1,)), {}))
    lines = difference(many, few).splitlines()
    deleted = [n for n, line in enumerate(lines) if line.startswith("delete chain ip fabric pe_")]
    element = [n for n, line in enumerate(lines) if line.startswith("delete element ip fabric services")]
    assert deleted
    assert element[0] < deleted[0]
    back = difference(few, many)
    assert "add chain ip fabric pe_" in back
    assert back.index("add chain ip fabric pe_") < back.index("add element ip fabric services")


def test_everything_can_go() -> None:
    text = difference(compile_rules(plan(snapshot(), {})), compile_rules(Fabric()))
    assert "add element" not in text
    assert difference(Ruleset(), compile_rules(Fabric())).count("add chain") == 9


@pytest.mark.parametrize(("minutes", "resets"), [(4, False), (30, True)])
def test_idle_flows_are_forgotten_as_the_rule_says(minutes: int, *, resets: bool) -> None:
    fabric = plan(snapshot(), up("10.0.1.6"))
    (balance,) = fabric.balances
    rules = compile_rules(replace(fabric, balances=(replace(balance, idle=60 * minutes, resets=resets),)))
    (chain,) = (lines for name, (_, lines) in rules.chains.items() if name.startswith("lb_"))
    said = [line for line in chain if "ct timeout" in line]
    if minutes == 4:
        assert (rules.timeouts, len(said)) == ((240,), 1)
    else:
        assert rules.timeouts == (300, 1800)
        assert [line.rpartition(" ct timeout")[0] for line in said] == [
            "ct mark 0 meta l4proto tcp",
            "ct mark != 0 meta l4proto tcp",
        ]
    verdict = "goto answer_reset" if resets else "drop"
    kept = {element.rpartition(" . ")[2] for element in rules.maps["forgotten"][1]}
    assert kept == {f"8000 : {verdict}"}
    assert "idle_240" in difference(Ruleset(), compile_rules(fabric))
    assert "ct timeout" not in difference(rules, compile_rules(Fabric()))


def test_security_rule_as_text() -> None:
    rule = SecurityRule(
        "r",
        allow=False,
        protocol="*",
        source=Side(("10.0.0.0/8",), negated=True),
        destination=Side(),
        destination_ports=((80, 80), (90, 99)),
    )
    assert _security_lines(rule) == (
        "meta l4proto { tcp, udp } ip saddr != { 10.0.0.0/8 } th dport { 80, 90-99 } drop",
    )
    assert _security_lines(replace(rule, source=Side((), negated=False))) == ()
    assert _security_lines(replace(rule, protocol="icmp", source=Side(), allow=True)) == (
        "meta l4proto icmp return",
    )


def test_hops_in_the_order_of_a_packet() -> None:
    hops = [hop for hop, _ in hop_counters(plan(snapshot(), {}))]
    assert hops == ["private endpoint pep1", "link service pl", "load balancer rule web"]


def test_one_more_node_touches_no_other() -> None:
    few, many = plan(snapshot((1,)), {}), plan(snapshot((1, 2)), {})
    (device,) = {i.device for i in many.interfaces} - {i.device for i in few.interfaces}
    others = {i.device for i in few.interfaces}
    lines = _fabric_lines(few, many)
    assert any(device in line for line in lines)
    assert not any(other in line for other in others for line in lines)
    back = _fabric_lines(many, few)
    assert back[:2] == [f"link set {device} group 1000", "link del group 1000"]
    assert not any(other in line for other in others for line in back)
    assert _fabric_lines(many, many) == []


def test_many_new_nodes_come_in_portions() -> None:
    many = plan(snapshot(range(1, 230)), {})
    part = _portion(Fabric(), many)
    assert len(part.interfaces) == 200
    assert _portion(part, many) == many
