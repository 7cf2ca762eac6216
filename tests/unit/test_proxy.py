from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from fwdlab.clients.proxy import Proxy, Upstream, basic, refusal, verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("management.azure.com", "lab"),
        ("Management.Azure.Com.", "lab"),
        ("login.microsoftonline.com", "refuse"),
        ("graph.microsoft.com", "refuse"),
        ("x.vault.azure.net", "refuse"),
        ("azure.com", "refuse"),
        ("aka.ms", "refuse"),
        ("pypi.org", "pass"),
        ("notazure.com", "pass"),
        ("azure.com.example", "pass"),
    ],
)
def test_what_becomes_of_a_host(host: str, expected: str) -> None:
    assert verdict(host) == expected


def test_the_users_proxy_is_read_from_its_address() -> None:
    found = Upstream.parse("http://user:p%40ss@proxy.corp:3128")
    assert found == Upstream("proxy.corp", 3128, "Basic dXNlcjpwQHNz")
    assert Upstream.parse("proxy:8080") == Upstream("proxy", 8080)
    assert Upstream.parse("") is None
    assert Upstream.parse("socks5://proxy:1080") is None


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"echo:" + await reader.read(100))
    await writer.drain()
    writer.close()


async def ask(
    port: int, head: str, payload: bytes = b"", authorization: str = basic("lab", "secret")
) -> tuple[str, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    extra = f"proxy-authorization: {authorization}" if authorization else "X: y"
    writer.write(f"{head}\r\n{extra}\r\n\r\n".encode())
    status = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode()
    if payload:
        writer.write(payload)
        writer.write_eof()
    rest = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return status, rest


def run_with_proxy(
    scene: Callable[[Proxy, int], Awaitable[None]], **options: object
) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        proxy = Proxy(port, "secret", log=lambda decision, host: seen.append((decision, host)))
        if options.get("upstream"):
            proxy.upstream = Upstream("127.0.0.1", port)
        await proxy.start()
        try:
            await scene(proxy, port)
        finally:
            await proxy.stop()
            server.close()

    asyncio.run(main())
    return seen


def test_arm_leads_to_the_lab() -> None:
    async def scene(proxy: Proxy, _port: int) -> None:
        answer = await ask(proxy.port, "CONNECT management.azure.com:443 HTTP/1.1", b"hello")
        assert answer == ("HTTP/1.1 200 Connection established", b"echo:hello")

    assert run_with_proxy(scene) == [("lab", "management.azure.com")]


def test_other_hosts_go_where_they_would_have_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(proxy: Proxy, port: int) -> None:
        async def connect(address: str, asked: int) -> Any:
            assert (address, asked) == ("192.0.2.7", 443)
            return await asyncio.open_connection("127.0.0.1", port)

        monkeypatch.setattr("fwdlab.clients.proxy._connect", connect)
        answer = await ask(proxy.port, "CONNECT 192.0.2.7:443 HTTP/1.1", b"hi")
        assert answer == ("HTTP/1.1 200 Connection established", b"echo:hi")

    assert run_with_proxy(scene) == [("pass", "192.0.2.7")]


@pytest.mark.parametrize("authorization", ["", basic("lab", "wrong"), "Basic \u00e4", "Bearer secret"])
def test_nobody_is_served_without_the_password(authorization: str) -> None:
    async def scene(proxy: Proxy, _port: int) -> None:
        status, body = await ask(
            proxy.port, "CONNECT management.azure.com:443 HTTP/1.1", authorization=authorization
        )
        assert status.startswith("HTTP/1.1 407")
        assert b"fwdctl lab env" in body

    run_with_proxy(scene)


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("pypi.org", 22),
        ("management.azure.com", 80),
        ("127.0.0.1", 443),
        ("127.9.9.9", 80),
        ("localhost", 443),
        ("169.254.169.254", 80),
        ("0.0.0.0", 80),  # noqa: S104 - to be refused
        ("::1", 443),
        ("::ffff:127.0.0.1", 443),
        ("fe80::1", 443),
    ],
)
def test_it_leads_to_no_other_port_and_not_to_this_machine(host: str, port: int) -> None:
    assert refusal(host, port)
    assert not refusal("pypi.org", 443)
    assert not refusal("10.1.2.3", 443)

    async def scene(proxy: Proxy, _port: int) -> None:
        assert (await ask(proxy.port, f"CONNECT [{host}]:{port} HTTP/1.1"))[0].startswith("HTTP/1.1 403")

    run_with_proxy(scene)


def test_a_name_of_this_machine_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(proxy: Proxy, _port: int) -> None:
        async def here(*_: object, **__: object) -> Any:
            return [(2, 1, 6, "", ("127.0.0.1", 443))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", here)
        status, body = await ask(proxy.port, "CONNECT rebound.example:443 HTTP/1.1")
        assert status.startswith("HTTP/1.1 403")
        assert b"127.0.0.1 is an address of this machine" in body

    run_with_proxy(scene)


def test_hosts_of_azure_are_refused_by_name() -> None:
    async def scene(proxy: Proxy, _port: int) -> None:
        status, body = await ask(proxy.port, "CONNECT login.microsoftonline.com:443 HTTP/1.1")
        assert status.startswith("HTTP/1.1 403")
        assert b"login.microsoftonline.com" in body

    assert run_with_proxy(scene) == [("refuse", "login.microsoftonline.com")]


@pytest.mark.parametrize("head", ["GET http://example.org/ HTTP/1.1", "CONNECT nonsense HTTP/1.1", "RUBBISH"])
def test_anything_but_connect_is_refused(head: str) -> None:
    async def scene(proxy: Proxy, _port: int) -> None:
        assert (await ask(proxy.port, head))[0].startswith("HTTP/1.1 405")

    run_with_proxy(scene)


def test_a_host_that_does_not_answer_is_a_bad_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(proxy: Proxy, _port: int) -> None:
        async def connect(*_: object) -> Any:
            raise ConnectionRefusedError

        monkeypatch.setattr("fwdlab.clients.proxy._connect", connect)
        assert (await ask(proxy.port, "CONNECT 192.0.2.7:443 HTTP/1.1"))[0].startswith("HTTP/1.1 502")

    run_with_proxy(scene)


def test_an_upstream_that_is_no_proxy_is_a_bad_gateway() -> None:
    async def scene(proxy: Proxy, _port: int) -> None:
        assert (await ask(proxy.port, "CONNECT pypi.org:443 HTTP/1.1"))[0].startswith("HTTP/1.1 502")

    run_with_proxy(scene, upstream=True)
