"""The forwarder agent's planning: configuration and live targets in, rules out."""

from __future__ import annotations

import ast
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.agent_program import CLOUD_INIT, agent_module

rules_ = agent_module("rules")
configuration = agent_module("configuration")
WEB = ["192.168.42.65:8000", "192.168.42.66:8001"]


def document(**changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "hash": "0123456789abcdef",
        "healthPort": 18099,
        "inbound": ["10.0.1.0/26", "10.0.1.64/26"],
        "forwards": [
            {
                "name": "web",
                "port": 8000,
                "targets": ["192.168.42.65:8000", "192.168.42.66:8001"],
                "check": "http",
            }
        ],
        **changes,
    }


def forward(targets: list[str], balance: str = "roundRobin", port: int = 8000) -> Any:
    return configuration.Forward("web", port, tuple(targets), balance)


def plan(live: list[str] | None = None, ports: tuple[int, ...] = (18099,)) -> Any:
    config = configuration.parse_config(document())
    return rules_.plan_rules(config, {"web": WEB}, {"web": live or []}, ports)


def destinations(rules: list[str]) -> list[str]:
    return [rule.rsplit(" ", 1)[1] for rule in rules]


def test_defaults_of_a_forward() -> None:
    config = configuration.parse_config(
        document(forwards=[{"name": "db", "port": 1433, "targets": ["10.9.0.1:1433", "10.9.0.1:1433"]}])
    )
    assert config.forwards == (configuration.Forward("db", 1433, ("10.9.0.1:1433",)),)
    assert config.interval == 5


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"inbound": ["10.0.1.3/26"]},
        {"inbound": ["fd00::/8"]},
        {"healthPort": 8000},
        {"forwards": [{"name": "a", "port": 1, "targets": ["server 65:8000"]}]},
        {"forwards": [{"name": "a", "port": 1, "targets": []}]},
        {"forwards": [{"name": "a", "port": 0, "targets": ["10.9.0.1:1"]}]},
        {"forwards": [{"name": "a", "port": 1, "targets": ["10.9.0.1:65536"]}]},
        *(
            {"forwards": [{"name": "a", "port": 1, "targets": [f"{address}:1"]}]}
            for address in ("127.0.0.1", "0.0.0.0", "224.0.0.1", "169.254.169.254", "10.0.1.9", "10.9.0.300")  # noqa: S104
        ),
        {"forwards": [{"name": "a", "port": p, "targets": ["10.9.0.1:1"]} for p in (1, 2)]},
        {"checkInterval": 0},
        {"configInterval": 0.2},
        {"forwards": [{"name": "a", "port": 1, "targets": ["10.9.0.1"]}]},
        {"forwards": [{"name": "a", "port": 1, "targets": ["10.9.0.1:1"], "balance": "random"}]},
        {"forwards": [{"name": "a", "port": 1, "targets": ["10.9.0.1:1"], "check": "ping"}]},
        {"forwards": [{"name": n, "port": 1, "targets": ["10.9.0.1:1"]} for n in "ab"]},
    ],
)
def test_a_wrong_configuration_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        configuration.parse_config(document(**changes))


def share_of_each(rules: list[str], connections: int) -> dict[str, int]:
    """Walk the chain as the kernel does: every nth rule keeps its own count of the packets that reach it."""
    seen = [0] * len(rules)
    taken: dict[str, int] = {}
    for _ in range(connections):
        for index, rule in enumerate(rules):
            every = re.search(r"--every (\d+)", rule)
            seen[index] += 1
            if every is None or (seen[index] - 1) % int(every[1]) == 0:
                target = rule.rsplit(" ", 1)[1]
                taken[target] = taken.get(target, 0) + 1
                break
    return taken


@given(st.integers(min_value=1, max_value=12))
def test_round_robin_shares_evenly(count: int) -> None:
    targets = [f"10.9.0.{n}:80" for n in range(1, count + 1)]
    taken = share_of_each(rules_.balance_rules(forward(targets), targets, targets), 20 * count)
    assert taken == dict.fromkeys(targets, 20)


def bucket_of(rules: list[str], address: int) -> str:
    """The target of the first rule whose source mask matches the last octet."""
    for rule in rules:
        match = re.search(r"-s 0\.0\.0\.(\d+)/0\.0\.0\.(\d+) ", rule)
        assert match is not None
        if address & int(match[2]) == int(match[1]):
            return rule.rsplit(" ", 1)[1]
    pytest.fail(f"no rule for a source that ends in {address}")


@given(st.integers(min_value=2, max_value=8), st.data())
def test_source_hash_covers_every_client_and_moves_only_those_of_a_dead_target(
    count: int, data: st.DataObject
) -> None:
    targets = [f"10.9.0.{n}:80" for n in range(1, count + 1)]
    all_live = rules_.balance_rules(forward(targets, "sourceHash"), targets, targets)
    assert set(destinations(all_live)) == set(targets)
    live = data.draw(st.lists(st.sampled_from(targets), min_size=2, unique=True).map(sorted))
    rules = rules_.balance_rules(forward(targets, "sourceHash"), targets, live)
    for address in range(256):
        before, after = bucket_of(all_live, address), bucket_of(rules, address)
        assert after in live
        assert before not in live or after == before


@pytest.mark.parametrize("balance", ["roundRobin", "sourceHash"])
def test_one_live_target_gets_all_and_none_gets_no_rule(balance: str) -> None:
    both = forward(["10.9.0.1:80", "10.9.0.2:81"], balance)
    assert rules_.balance_rules(both, list(both.targets), ["10.9.0.2:81"]) == [
        "-A FWDCTL-8000 -p tcp -j DNAT --to-destination 10.9.0.2:81"
    ]
    assert rules_.balance_rules(both, list(both.targets), []) == []


def test_only_the_inbound_subnets_reach_a_forwarded_port() -> None:
    planned = plan()
    local = "-p tcp -m addrtype --dst-type LOCAL -m tcp --dport 8000 -j FWDCTL-8000"
    probes, *forwarded = planned["nat"]["FWDCTL-PRE"]
    # Wherever the load balancer's probes go to, they come to the agent: it may know another health port.
    assert probes == (
        "-A FWDCTL-PRE -s 168.63.129.16/32 -p tcp -m addrtype --dst-type LOCAL -j REDIRECT --to-ports 18099"
    )
    assert forwarded == [
        f"-A FWDCTL-PRE -s 10.0.1.0/26 {local}",
        f"-A FWDCTL-PRE -s 10.0.1.64/26 {local}",
    ]


def test_the_health_port_is_for_probes_inbound_subnets_and_loopback() -> None:
    known, *rules = plan()["filter"]["FWDCTL-IN"]
    assert known == "-A FWDCTL-IN -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    accepted = [rule.split()[2:4] for rule in rules if rule.endswith("ACCEPT")]
    assert accepted == [
        ["-i", "lo"],
        ["-s", "168.63.129.16/32"],
        ["-s", "10.0.1.0/26"],
        ["-s", "10.0.1.64/26"],
    ]
    assert rules[-1] == "-A FWDCTL-IN -p tcp -m tcp --dport 18099 -j DROP"
    assert all("--dport 18099" in rule for rule in rules)


def test_only_translated_flows_are_masqueraded_and_accepted() -> None:
    planned = plan()
    rules = planned["nat"]["FWDCTL-POST"] + planned["filter"]["FWDCTL-FWD"][:-1]
    assert all("-m conntrack --ctstate DNAT --ctorigdstport 8000" in rule for rule in rules)
    assert "-d 192.168.42.66/32 -p tcp -m tcp --dport 8001" in planned["nat"]["FWDCTL-POST"][1]


def test_connections_of_a_forward_that_is_gone_are_admitted_until_they_end() -> None:
    admitted = plan()["filter"]["FWDCTL-FWD"][-1]
    assert admitted == "-A FWDCTL-FWD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


def test_an_earlier_health_port_stays_open() -> None:
    rules = plan(ports=(18098, 18099))["filter"]["FWDCTL-IN"]
    assert [rule for rule in rules if "--dport 18098" in rule and rule.endswith("DROP")]
    assert len(rules) == 1 + 2 * 5


def test_restore_text_keeps_counters_removes_old_chains_and_puts_missing_jumps_first() -> None:
    wanted = plan(WEB[:1])
    counted = wanted["nat"]["FWDCTL-POST"][0]
    present = {"-A INPUT -j FWDCTL-IN": (9, 9), counted: (3, 180)}
    text = rules_.restore_text(wanted, present, {"FWDCTL-PRE", "FWDCTL-9000"})
    declared = re.findall(r"^:(\S+)", text, re.MULTILINE)
    assert declared
    assert all(chain.startswith("FWDCTL-") for chain in declared)
    assert re.findall(r"^-I .*", text, re.MULTILINE) == [
        "-I PREROUTING 1 -j FWDCTL-PRE",
        "-I POSTROUTING 1 -j FWDCTL-POST",
        "-I FORWARD 1 -j FWDCTL-FWD",
    ]
    assert f"[3:180] {counted}" in text.splitlines()
    assert re.findall(r"^-[FXPD].*", text, re.MULTILINE) == ["-X FWDCTL-9000"]
    assert text.count("COMMIT") == 3


def test_what_iptables_save_says_of_others_is_left_out() -> None:
    saved = """*nat
:PREROUTING ACCEPT [7:420]
:FWDCTL-PRE - [0:0]
[3:180] -A PREROUTING -j FWDCTL-PRE
[9:540] -A PREROUTING -j DOCKER
[2:120] -A FWDCTL-PRE -s 10.0.1.0/26 -p tcp -j FWDCTL-8000
COMMIT
"""
    rules, chains = rules_.parse_save(saved)
    assert rules == {
        "-A PREROUTING -j FWDCTL-PRE": (3, 180),
        "-A FWDCTL-PRE -s 10.0.1.0/26 -p tcp -j FWDCTL-8000": (2, 120),
    }
    assert chains == {"FWDCTL-PRE"}


def test_connection_tracking_is_sized_by_memory_and_forgets_idle_connections(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel may refuse one of them, as in a container; the others are set all the same."""
    monkeypatch.setattr(rules_, "CONNTRACK", tmp_path)
    monkeypatch.setattr(rules_, "TRACKED", tmp_path / "missing")
    monkeypatch.setattr(rules_, "BUCKETS", tmp_path / "missing" / "hashsize")
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": (1 << 30) // 4096}
    monkeypatch.setattr(rules_.os, "sysconf", lambda name: sizes[name])
    assert "hashsize" in rules_.Kernel().size_conntrack()
    most = int((tmp_path / "nf_conntrack_max").read_text())
    assert most * rules_.BYTES_PER_CONNECTION <= (1 << 30) // 4
    assert most > 500_000  # of a kernel's own 7,000
    assert int((tmp_path / "nf_conntrack_tcp_timeout_established").read_text()) > 300  # the private link's
    monkeypatch.setattr(rules_, "BUCKETS", tmp_path / "hashsize")
    assert rules_.Kernel().size_conntrack() == ""
    assert int((tmp_path / "hashsize").read_text()) == most // 4
    (tmp_path / "nf_conntrack_count").write_text("7\n")
    assert rules_.Kernel().conntrack() == {"count": 7, "max": most}
    monkeypatch.setattr(rules_, "TRACKED", tmp_path / "nf_conntrack")
    rules_.TRACKED.write_text("")
    assert rules_.Kernel().conntrack() == {"count": 7, "max": most, "established": 0}
    (tmp_path / "nf_conntrack_count").write_text(f"{rules_.MOST_LISTED}")
    assert "established" not in rules_.Kernel().conntrack()


@pytest.mark.parametrize("file", sorted(CLOUD_INIT.glob("*/*.py")), ids=lambda file: file.name)
def test_programs_on_the_machines_are_python_3_8_and_standard_library(file: Any) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 8))
    imports = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    imports |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    siblings = {sibling.stem for sibling in file.parent.glob("*.py")}
    assert {name.split(".")[0] for name in imports} <= sys.stdlib_module_names | siblings


def test_open_connections_are_those_that_are_forwarded() -> None:
    flow = (
        "ipv4     2 tcp      6 {} {} src={} dst=10.0.1.5 sport=4 dport={} src={} dst=10.0.1.5 "
        "sport={} dport=4 [ASSURED] mark=0 zone=0 use=2\n"
    )
    lines = (
        flow.format(899, "ESTABLISHED", "10.0.1.40", 8000, "192.168.42.65", 8000),
        flow.format(80, "TIME_WAIT", "10.0.1.40", 8000, "192.168.42.65", 8000),
        flow.format(899, "ESTABLISHED", "10.0.1.68", 18099, "10.0.1.5", 18099),  # a question for /status
    )
    assert rules_.established(lines) == 1
    assert rules_.established([]) == 0
