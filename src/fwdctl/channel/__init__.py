"""Run one command in a container over the exec web socket: arguments, streams and status exactly as they are.

`Channel.run(Request) -> Outcome` is all that callers need; `framing` explains how, `socket` opens it.
"""

from __future__ import annotations

from fwdctl.channel.run import Channel, Outcome, Request
from fwdctl.channel.socket import ClosedError, Socket, Ticket

__all__ = ["Channel", "ClosedError", "Outcome", "Request", "Socket", "Ticket"]
