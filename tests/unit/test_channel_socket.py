"""Opening the exec service's socket: what fails is named, a password never is."""

from __future__ import annotations

import pytest

from fwdctl.channel import Ticket
from fwdctl.channel.socket import connect
from fwdctl.errors import FwdctlError


@pytest.mark.parametrize(
    ("port", "password", "code"), [(1, "p w[[EOM]]", "exec_unreachable")], ids=["refused"]
)
def test_a_socket_that_cannot_be_opened(port: int, password: str, code: str) -> None:
    with pytest.raises(FwdctlError) as error:
        connect(Ticket(f"ws://127.0.0.1:{port}/exec", password), {})
    assert (error.value.code, error.value.exit_code) == (code, 5)
    assert password not in str(error.value)


def test_an_unreadable_bundle_is_named() -> None:
    from fwdctl.trust import exec_context

    with pytest.raises(FwdctlError) as error:
        exec_context({"REQUESTS_CA_BUNDLE": "/nonexistent/ca.pem"})
    assert "REQUESTS_CA_BUNDLE" in error.value.message


def test_a_ticket_never_prints_its_password() -> None:
    assert "secret" not in repr(Ticket("wss://host/exec?token=secret", "secret"))
