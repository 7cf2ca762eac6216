"""systemd unit files."""

from __future__ import annotations

import pytest

from fwdlab.machine.units import Command, UnitError, expand, parse, parse_environment_file, seconds


def test_service() -> None:
    unit = parse(
        "a.service",
        '# comment\n[Unit]\nDescription=An agent\n[Service]\nEnvironment=A=1 "B=2 3"\nEnvironmentFile=-/etc/x\n'
        "ExecStartPre=-/bin/false\nExecStart=/bin/echo 'a b' \\\n  ${A}\nRestart=always\nRestartSec=500ms\n"
        "StateDirectory=one two\nDynamicUser=yes\nProtectSystem=strict\nDelegate=yes\n[Install]\nWantedBy=multi-user.target\n",
    )
    assert unit.description == "An agent"
    assert unit.start == (Command(("/bin/echo", "a b", "${A}")),)
    assert unit.before == (Command(("/bin/false",), tolerant=True),)
    assert unit.environment == {"A": "1", "B": "2 3"}
    assert unit.environment_files == (("/etc/x", True),)
    assert (unit.restart, unit.restart_seconds) == ("always", 0.5)
    assert unit.directories == ("/var/lib/one", "/var/lib/two")
    assert unit.ignored == ("Delegate",)  # not the sandbox, which docs/lab.md says is never honoured


def test_empty_assignment_takes_back() -> None:
    assert parse("a", "[Service]\nExecStart=/bin/a\nExecStart=\nExecStart=/bin/b\n").start == (
        Command(("/bin/b",)),
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[Service]\n", "no ExecStart"),
        ("[Service]\nType=dbus\nExecStart=/bin/a\n", "Type=dbus"),
        ("[Service]\nExecStart=/bin/a 'b\n", "quotation"),
        ("[Service]\nExecStart=@/bin/a b\n", "prefix @"),
    ],
)
def test_what_cannot_be_run_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UnitError, match=reason):
        parse("a.service", text)


def test_variables_and_specifiers() -> None:
    command = Command(("$LIST", "x${A}y", "%n", "%N", "100%%", "$$A", "$NONE"))
    words = expand(command, {"A": "1", "LIST": "p q"}, "a.service")
    assert words == ("p", "q", "x1y", "a.service", "a", "100%", "$A")


@pytest.mark.parametrize(
    ("text", "expected"), [("2", 2.0), ("500ms", 0.5), ("1min 30s", 90.0), ("infinity", 0.0), ("1.5", 1.5)]
)
def test_time_spans(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


def test_environment_file() -> None:
    assert parse_environment_file("# x\nA=1\nB='2 3'\n\nC=\n") == {"A": "1", "B": "2 3", "C": ""}
