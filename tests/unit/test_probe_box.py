"""The probe's script in boxes with few tools, with tools that fail for themselves, and with many paths."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.deployment import Forward
from fwdctl.probe.model import Path
from fwdctl.probe.talk import opening
from support.check_servers import OK, greets, replies, secured, serving, wants_name
from support.local_box import LocalBox, install, program
from support.probe_paths import BOX, PATH, WEB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path as Folder

    from fwdctl.probe.model import PathResult

pytestmark = pytest.mark.skipif(os.name != "posix", reason="runs /bin/sh")
SECONDS = 5
ODD_PATH = "/items/[1]{2}?a=$HOME&b='x'#*"


class Web(BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(503 if self.path == "/sick" else 302 if self.path == "/moved" else 200)
        self.send_header("x-served-by", "server 65\t\x1b[1m")
        self.send_header("X-Other-X-Served-By", "somebody else")
        if self.path == "/moved":
            self.send_header("LOCATION", "https://Elsewhere.example:8443/login")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def web() -> Iterator[int]:
    Web.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(5)


@pytest.fixture(scope="module")
def closed() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def path(check: str, port: int, check_path: str = "/", **changes: Any) -> Path:
    forward = Forward("f", port, check=check, check_path=check_path)
    return replace(Path(f"{check}/{port}", "target", BOX, forward, "127.0.0.1", port), **changes)


def run(folder: Folder, tools: str, *paths: Path) -> list[PathResult]:
    install(folder, tools)
    return LocalBox(folder).test(paths, SECONDS)


@pytest.mark.parametrize("tools", ["curl", "wget", "python3", "curl timeout", "busybox"])
def test_http_with_each_tool(web: int, closed: int, tools: str, tmp_path: Any) -> None:
    named = Forward("web", web, check="http", identity_header="X-Served-By")
    good, bad, gone = run(
        tmp_path,
        tools,
        Path("1", "target", BOX, named, "127.0.0.1", web, samples=3, expected=2),
        path("http", web, "/sick"),
        path("http", closed),
    )
    (name,) = good.servers
    assert (good.verdict, good.servers[name]) == ("pass", 3)
    assert name.startswith("server 65")
    assert name.isprintable()
    assert bad.servers == {}
    tool = "wget" if tools == "busybox" else tools.split(maxsplit=1)[0]
    assert f"3 of 3 answered ({tool}: HTTP 200)" in good.findings[1].reason
    assert (bad.verdict, bad.findings[-1].check) == ("fail", "protocol")
    assert "503" in bad.reason
    assert (gone.verdict, gone.findings[-1].check) == ("fail", "tcp")
    assert "refused" in gone.reason


@pytest.mark.parametrize("tools", ["curl", "wget", "python3", "busybox"])
def test_every_path_of_a_check_reaches_the_server(web: int, tools: str, tmp_path: Any) -> None:
    Web.asked.clear()
    (result,) = run(tmp_path, tools, path("http", web, ODD_PATH))
    assert result.verdict == "pass", result.reason
    (asked,) = Web.asked
    if tools in {"curl", "python3"}:
        assert asked == ODD_PATH


@pytest.mark.parametrize("tools", ["bash timeout", "python3", "curl", "nc", "busybox"])
def test_tcp_with_each_tool(web: int, closed: int, tools: str, tmp_path: Any) -> None:
    results = run(tmp_path, tools, path("tcp", web), path("tcp", closed))
    assert [result.verdict for result in results] == ["pass", "fail"]


@pytest.mark.parametrize("tools", ["bash od dd", "busybox", "python3"])
def test_what_a_server_says_is_told(tools: str, tmp_path: Any) -> None:
    with serving(greets(b"SSH-2.0-OpenSSH_9.6\r\n")) as port:
        (result,) = run(tmp_path, tools, path("banner", port))
    assert result.verdict == "pass"
    assert "'SSH-2.0-OpenSSH_9.6'" in result.reason


@pytest.mark.parametrize("tools", ["bash od dd timeout", "busybox", "python3", "openssl timeout"])
def test_what_a_server_wants_of_tls_is_told(tools: str, tmp_path: Any) -> None:
    with serving(secured(b"", wants_name)) as port:
        plain = path("tls", port)
        named = replace(plain, forward=replace(plain.forward, server_name="shop.example"))
        refused, greeted = run(tmp_path, tools, plain, named)
    assert (refused.verdict, greeted.verdict) == ("pass", "pass")
    assert "unrecognized name" in refused.reason
    assert greeted.reason.endswith("a TLS handshake)" if "openssl" in tools else "a TLS ServerHello)")


def test_a_spokes_path_asks_tls_for_the_name_that_clients_use() -> None:
    forward = Forward("f", 443, check="tls")
    spoke = Path("s", "spoke", BOX, forward, "server.corp.internal", 443, "10.1.17.4")
    assert spoke.sni == "server.corp.internal"
    assert b"server.corp.internal" in opening("tls", spoke.sni)
    assert replace(spoke, forward=replace(forward, server_name="shop.example")).sni == "shop.example"
    assert replace(spoke, host="10.1.17.4").sni == ""


@pytest.mark.parametrize("tools", ["curl", "bash timeout", "python3", "busybox"])
def test_check_none_connects_at_least(web: int, closed: int, tools: str, tmp_path: Any) -> None:
    well, gone = run(tmp_path, tools, path("none", web), path("none", closed))
    assert [(f.check, f.verdict) for f in well.findings] == [("tcp", "pass"), ("protocol", "skip")]
    assert (gone.verdict, gone.failed_check) == ("fail", "tcp")


@pytest.mark.parametrize("tools", ["getent", "python3", "python3 getent timeout"])
def test_names_with_each_tool(web: int, tools: str, tmp_path: Any) -> None:
    def named(host: str, address: str) -> Path:
        return path("tcp", web, host=host, address=address)

    paths = [named("localhost", "127.0.0.1"), named("localhost", "127.0.0.9")]
    right, wrong, missing = run(tmp_path, tools, *paths, named("no-such-name.invalid", "127.0.0.1"))
    assert right.findings[0].verdict == "pass"
    assert wrong.findings[-1].verdict == "fail"
    assert missing.findings[-1].verdict in {"fail", "inconclusive"}  # a resolver may answer "try again"


BUSYBOX = "printf 'Server:\\t10.0.0.1\\nAddress:\\t10.0.0.1:53\\n\\nName:\\tx\\nAddress: 10.9.9.9\\nAddress: fd00::1\\n'"
OLD_BUSYBOX = "printf 'Server: 10.0.0.1\\nAddress 1: 10.0.0.1\\n\\nName: x\\nAddress 1: 10.9.9.9 x\\n'"
BIND = "printf 'Server:\\t10.0.0.1\\nAddress:\\t10.0.0.1#53\\n\\nName:\\tx\\nAddress: 10.9.9.9\\n'"
UNKNOWN = "printf 'Server:\\t10.0.0.1\\nAddress:\\t10.0.0.1:53\\n\\n** server can'\\''t find x: NXDOMAIN\\n'; exit 1"
SICK = "printf 'Server:\\t10.0.0.1\\nAddress:\\t10.0.0.1:53\\n\\n** server can'\\''t find x: SERVFAIL\\n'; exit 1"


@pytest.mark.parametrize(
    ("said", "verdict", "reason"),
    [
        (BUSYBOX, "pass", "is 10.9.9.9 (nslookup)"),
        (OLD_BUSYBOX, "pass", "is 10.9.9.9 (nslookup)"),
        (BIND, "pass", "is 10.9.9.9 (nslookup)"),
        (UNKNOWN, "fail", "does not resolve (nslookup)"),
        (SICK, "inconclusive", "ended with 1 (nslookup)"),
    ],
)
def test_names_with_nslookup_alone(said: str, verdict: str, reason: str, closed: int, tmp_path: Any) -> None:
    program(tmp_path, "nslookup", said)
    (result,) = run(tmp_path, "curl", path("tcp", closed, host="x.example", address="10.9.9.9"))
    assert result.findings[0].verdict == verdict
    assert reason in result.findings[0].reason


def test_a_box_without_tools_is_inconclusive(web: int, tmp_path: Any) -> None:
    results = run(tmp_path, "", PATH, Path("2", "target", BOX, WEB, "127.0.0.1", web))
    assert [result.verdict for result in results] == ["inconclusive", "inconclusive"]


def test_a_protocol_that_no_tool_knows_is_inconclusive_though_the_port_answers(
    web: int, closed: int, tmp_path: Any
) -> None:
    well, gone = run(tmp_path, "curl", path("mssql", web), path("mssql", closed))
    assert [(f.check, f.verdict) for f in well.findings] == [("tcp", "pass"), ("protocol", "inconclusive")]
    assert "no tool for mssql" in well.reason
    assert (gone.verdict, gone.failed_check) == ("fail", "tcp")


CRASHES = "kill -SEGV $$"
USAGE = "echo \"$0: invalid option -- 'z'\" >&2; exit 1"


@pytest.mark.parametrize(
    ("check", "broken", "said", "working"),
    [
        ("http", "curl", "echo 'curl: (2) no memory' >&2; exit 2", "wget"),
        ("http", "curl", "echo 'curl: (48) unknown option' >&2; exit 48", "wget"),
        ("http", "curl", CRASHES, "wget"),
        ("http", "curl", CRASHES, "python3"),
        ("http", "wget", CRASHES, "python3"),
        ("http", "wget", "echo 'wget: unrecognized option' >&2; exit 1", "python3"),
        ("tcp", "bash", "echo 'bash: /dev/tcp/x/1: No such file or directory' >&2; exit 1", "curl"),
        ("tcp", "bash", CRASHES, "python3"),
        ("tcp", "nc", USAGE, "curl"),
        ("tls", "bash", CRASHES, "openssl"),
        ("banner", "bash", CRASHES, "python3"),
    ],
)
def test_a_tool_that_fails_for_itself_is_replaced(
    check: str, broken: str, said: str, working: str, tmp_path: Any
) -> None:
    behaviour = {"tls": secured(b""), "banner": greets(b"220 hello\r\n")}.get(check, replies(OK))
    install(tmp_path, f"{working} od dd timeout")
    program(tmp_path, broken, said)
    with serving(behaviour) as port:
        (result,) = LocalBox(tmp_path).test([path(check, port)], SECONDS)
    assert result.verdict == "pass", result.reason
    assert working in result.findings[-1].reason


@pytest.mark.parametrize(
    ("check", "broken", "said", "words"),
    [
        (
            "http",
            "curl",
            "echo 'curl: (3) URL malformed' >&2; exit 3",
            "curl ended with 3: curl: (3) URL malformed",
        ),
        ("http", "curl", CRASHES, "curl ended with 139"),
        (
            "https",
            "wget",
            "echo 'wget: unrecognized option' >&2; exit 2",
            "wget ended with 2: wget: unrecognized",
        ),
        ("tcp", "nc", USAGE, "nc ended with 1: "),
        (
            "tcp",
            "python3",
            "echo 'Traceback'; echo 'ModuleNotFoundError: ssl'; exit 1",
            "ModuleNotFoundError: ssl",
        ),
    ],
)
def test_a_box_whose_only_tool_fails_for_itself_is_inconclusive(
    check: str, broken: str, said: str, words: str, tmp_path: Any
) -> None:
    install(tmp_path, "timeout")
    program(tmp_path, broken, said)
    with serving(replies(OK)) as port:
        (result,) = LocalBox(tmp_path).test([path(check, port)], SECONDS)
    assert result.verdict == "inconclusive"
    assert words in result.reason


@pytest.mark.parametrize("tools", ["curl", "wget", "python3", "busybox"])
def test_a_redirection_elsewhere_is_a_warning_for_a_spokes_path(web: int, tools: str, tmp_path: Any) -> None:
    moved = path("http", web, "/moved", origin="spoke", label="spoke/web")
    own = path("http", web, "/moved", origin="target")
    through_spoke, direct = run(tmp_path, tools, moved, own)
    assert through_spoke.verdict == "pass"
    (warning,) = through_spoke.warnings
    assert (warning.code, warning.segment) == ("TARGET_REDIRECTS", "target")
    assert "elsewhere.example" in warning.evidence
    assert direct.warnings == ()


def test_a_dead_forward_delays_no_other(tmp_path: Any) -> None:
    """The dead one's connection ends when the nine others have been made, or never."""
    install(tmp_path, "mkdir sleep")
    program(
        tmp_path,
        "curl",
        'for url; do :; done\n'
        'case $url in *:1/) for n in 2 3 4 5 6 7 8 9 10; do until [ -d "$0.$n" ]; do sleep 0.05; done; done; exit 28 ;;\n'
        '*) u=${url%/}; mkdir "$0.${u##*:}" ;; esac\n'
        "printf '\\n@200 0.1 0.0 127.0.0.1'",
    )  # fmt: skip
    paths = [path("http", port) for port in range(1, 11)]
    results = LocalBox(tmp_path).test(paths, SECONDS)
    assert [result.path.port for result in results] == list(range(1, 11))
    assert [result.verdict for result in results] == ["fail", *["pass"] * 9]


def test_connections_side_by_side_are_bounded(tmp_path: Any) -> None:
    install(tmp_path, "mkdir rmdir sleep ls")
    program(
        tmp_path,
        "curl",
        'd="$0.$$"; mkdir "$d"; set -- "$0".*; [ $# -le 24 ] || echo "$#" >>"${d%.*}-most"\n'
        "sleep 0.1; rmdir \"$d\"; printf '\\n@200 0.1 0.0 127.0.0.1'",
    )
    paths = [path("http", port, samples=5) for port in range(1, 21)]
    results = LocalBox(tmp_path).test(paths, SECONDS)
    assert [len(result.observation.samples) for result in results] == [5] * 20
    assert not (tmp_path / "curl-most").exists()


def test_one_look_up_serves_all_paths_with_a_name(closed: int, tmp_path: Any) -> None:
    install(tmp_path, "mkdir curl")
    program(tmp_path, "getent", 'mkdir "$0.once" && echo "10.9.9.9 STREAM x"')
    paths = [path("tcp", closed, host="x.example", address="10.9.9.9") for _ in range(3)]
    results = LocalBox(tmp_path).test(paths, SECONDS)
    assert [result.findings[0].verdict for result in results] == ["pass"] * 3


FLAKY = 'mkdir "$0.once" 2>/dev/null && { echo "curl: (7) Connection refused"; exit 7; }\nprintf "\\n@200 0.1 0.0 127.0.0.1"'


@pytest.mark.parametrize(
    ("retries", "verdict", "words"),
    [
        (0, "fail", "refused"),
        (1, "pass", "(asked twice, at first: 127.0.0.1:1: the connection is refused"),
        (2, "pass", "(asked twice, at first:"),
    ],
)
def test_a_path_that_fails_is_asked_again(retries: int, verdict: str, words: str, tmp_path: Any) -> None:
    install(tmp_path, "mkdir")
    program(tmp_path, "curl", FLAKY)
    box = LocalBox(tmp_path)
    (result,) = box.test([path("http", 1)], SECONDS, retries)
    assert (result.verdict, words in result.reason) == (verdict, True)
    assert box.pauses == [2.0] * min(retries, 1)


def test_a_path_that_stays_broken_says_how_often_it_was_asked(web: int, closed: int, tmp_path: Any) -> None:
    install(tmp_path, "curl")
    box = LocalBox(tmp_path)
    well, gone = box.test([path("http", web), path("http", closed)], SECONDS, 1)
    assert (gone.verdict, gone.data()["asked"], well.data()["asked"]) == ("fail", 2, 1)
    assert gone.reason.endswith("(asked twice)")
    assert len(box.steps) == 2


def test_each_exec_says_what_is_tested_from_where(web: int, closed: int, tmp_path: Any) -> None:
    install(tmp_path, "curl")
    box = LocalBox(tmp_path)
    box.test([path("http", web), path("http", closed)], SECONDS, 1)
    assert box.steps == [
        f"Testing http/{web}, http/{closed} from spoke (ci-spoke)",
        f"Testing once more: http/{closed} from spoke (ci-spoke)",
    ]


def test_a_box_says_which_hop_of_which_path_is_under_test(web: int, closed: int, tmp_path: Any) -> None:
    install(tmp_path, "curl getent")
    box = LocalBox(tmp_path)
    named = replace(path("http", web, samples=2), host="localhost", address="127.0.0.1")
    box.test([named, path("http", closed, skip="no matter"), path("http", closed)], SECONDS)
    # Lanes end in any order; each line that the box prints leaves something less to wait for.
    assert box.stages[0] == f"Testing {named.label}, name, from spoke"
    assert box.stages[-2:] == ["", ""]
    assert len(box.stages) == 6

    (again,) = [replace(named, address="")]
    box = LocalBox(tmp_path)
    box.test([again], SECONDS)
    assert box.stages == [
        f"Testing {again.label}, connection 1 of 2, from spoke",
        f"Testing {again.label}, connection 2 of 2, from spoke",
        "",
        "",
    ]
