"""Which paths are planned from which box."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fwdctl.deployment import Box, Deployment, Forward, Hub
from fwdctl.errors import FwdctlError
from support.probe_paths import SPOKE, WEB, planned


def deployment(*forwards: Forward) -> Deployment:
    hub = Hub(Box("hub", "ci-hub"), "lbi", "10.0.1.5")
    return Deployment("rg", None, hub, (SPOKE,), forwards, "x")


def test_plan_of_everything() -> None:
    paths = planned(deployment(WEB), "all")
    assert [(p.label, p.host, p.samples, p.expected) for p in paths] == [
        ("hub/web/192.168.42.65:8000", "192.168.42.65", 1, 0),
        ("hub/web/192.168.42.66:8000", "192.168.42.66", 1, 0),
        ("hub/web", "10.0.1.5", 4, 2),
        ("spoke/web", "server.corp.internal", 4, 2),
    ]


def test_a_forwards_own_names_take_the_place_of_the_spokes() -> None:
    forward = replace(WEB, host_names=("shop", "store"))
    paths = planned(deployment(forward, Forward("db", 1433)), "spoke")
    assert [(p.label, p.host, p.address, p.samples, p.expected) for p in paths] == [
        ("spoke/web", "shop.corp.internal", SPOKE.address, 4, 2),
        ("spoke/web/store.corp.internal", "store.corp.internal", SPOKE.address, 1, 0),
        ("spoke/db", "server.corp.internal", SPOKE.address, 1, 0),
    ]
    assert [path.spoke and path.spoke.host_name for path in paths] == [path.host for path in paths]


@pytest.mark.parametrize(
    ("forward", "samples", "made", "expected"),
    [
        (WEB, 9, 9, 2),
        (WEB, 1, 1, 0),
        (Forward("web", 1, ("a:1", "b:1"), "sourceHash", "http"), 0, 4, 0),
        (Forward("db", 1433, ("a:1", "b:1")), 0, 4, 2),
        (Forward("db", 1433, ("a:1",)), 0, 2, 1),
        (Forward("db", 1433), 0, 1, 0),
        (Forward("db", 1433, ("a:1", "b:1"), check="none"), 5, 5, 2),
        (Forward("web", 80, check="http"), 0, 1, 0),
    ],
)
def test_samples(forward: Forward, samples: int, made: int, expected: int) -> None:
    (path,) = planned(deployment(forward), "spoke", samples)
    assert (path.samples, path.expected) == (made, expected)


def test_unknown_targets_are_skipped_with_a_reason() -> None:
    paths = planned(deployment(Forward("web", 8000)), "hub")
    assert [(bool(path.skip), path.origin) for path in paths] == [(True, "target"), (False, "balancer")]


def test_nothing_forwarded() -> None:
    with pytest.raises(FwdctlError) as error:
        planned(deployment(), "all")
    assert (error.value.code, error.value.exit_code) == ("no_forwards", 3)
