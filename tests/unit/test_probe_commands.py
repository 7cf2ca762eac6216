"""What is printed can be typed, in the shell in use, and means the deployment that was probed."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace

import pytest

from fwdctl import shell
from fwdctl.deployment import Deployment, Hub
from fwdctl.probe.hops import commands

ODD = [
    "rg-dev(1)",
    "a b",
    "it's",
    "$HOME",
    "`id`",
    "a;b",
    "*",
    "",
    "@{x}",
    "a,b",
    "%TEMP%",
    'say "no"',
    "ümlaut",
]
AZD = Deployment("rg-dev(1)", None, Hub(None), (), (), "x")
BY_HAND = replace(AZD, options=("-g", "rg-dev(1)"))


@pytest.mark.parametrize("word", ODD)
def test_a_posix_shell_takes_every_word_as_it_was(word: str) -> None:
    line = commands.az("group show", "-n", word)
    assert shlex.split(line) == ["az", "group", "show", "-n", word]
    done = subprocess.run(
        ["/bin/sh", "-c", f"az() {{ printf '%s\\n' \"$4\"; }}; {line}"],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    assert done.stdout == f"{word}\n"


@pytest.mark.parametrize(
    ("word", "typed"),
    [
        ("rg-dev", "rg-dev"),
        ("/subscriptions/s/resourceGroups/rg", "/subscriptions/s/resourceGroups/rg"),
        ("rg-dev(1)", '"rg-dev(1)"'),
        ("a b", '"a b"'),
        ("", '""'),
        ("@x", '"@x"'),
        ("a,b", '"a,b"'),
        ("it's", '"it\'s"'),
        ("$x", "'$x'"),
        ("$it's", "'$it''s'"),
    ],
)
def test_windows_shells_share_double_quotes(monkeypatch: pytest.MonkeyPatch, word: str, typed: str) -> None:
    monkeypatch.setattr(shell, "WINDOWS", True)
    assert commands.az("-g", word) == f"az -g {typed}"


def test_several_commands_stand_on_a_line_each() -> None:
    assert commands.lines(commands.az("a"), commands.az("b")) == "az a\naz b"


def test_fwdctl_means_the_same_deployment() -> None:
    assert commands.fwdctl(AZD, "probe", "all") == "fwdctl probe all"
    assert commands.fwdctl(BY_HAND, "probe", "all") == "fwdctl probe all -g 'rg-dev(1)'"
    shown = commands.fwdctl(replace(AZD, options=("-e", "dev(1)")), "jump", "exec", "hub", "--", "id", "-u")
    assert shown == "fwdctl jump exec hub -e 'dev(1)' -- id -u"


ZONE = "/subscriptions/other/resourceGroups/rg/providers/Microsoft.Network/privateDnsZones/z"


@pytest.mark.parametrize(
    ("active", "named", "named_elsewhere"),
    [
        ("own", "", " --subscription other"),
        ("", " --subscription own", " --subscription other"),
        ("OTHER", " --subscription own", ""),
    ],
)
def test_az_is_told_the_subscription_unless_it_would_take_it(
    active: str, named: str, named_elsewhere: str
) -> None:
    """What it is about may be in another one than the deployment; az's active one may not be known."""
    suggestion = commands.lines(commands.az("a"), commands.az("b", of=ZONE), "azd provision")
    typed = commands.in_subscription(suggestion, "own", active)
    assert typed.splitlines() == [f"az a{named}", f"az b{named_elsewhere}", "azd provision"]


def test_without_azd_nothing_of_azd_is_advised() -> None:
    assert commands.provision(AZD, "az x") == "azd provision --no-state"
    assert commands.provision(replace(AZD, options=("-e", "dev"))) == "azd provision --no-state -e dev"
    assert commands.provision(BY_HAND, "az x", "az y") == "az x\naz y"
    assert "azd" not in commands.provision(BY_HAND)
    assert "azd" not in commands.bare("Run `azd provision --no-state`.", BY_HAND)


@pytest.mark.parametrize(
    ("sentence", "typed"),
    [
        ("Run `azd provision --no-state`.", "azd provision --no-state"),
        ("Run `azd provision --no-state` if it should be there.", "azd provision --no-state"),
        ("Run `az login` or `azd auth login`.", "Run `az login` or `azd auth login`."),
        ("Look at `HTTPS_PROXY`.", "Look at `HTTPS_PROXY`."),
    ],
)
def test_a_sentence_about_one_command_becomes_that_command(sentence: str, typed: str) -> None:
    assert commands.bare(sentence, AZD) == typed
