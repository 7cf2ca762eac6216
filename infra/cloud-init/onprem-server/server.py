"""Stand-in for an on-premise server: answers every request with who answered whom.

Standard library only, Python 3.8 or newer. Usage: server.py CONFIG, where CONFIG is a JSON file
`{"version": 1, "hash": "...", "ports": [8000]}`.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Answers 200 on every path with the header X-Fwdctl-Server and a JSON body."""

    protocol_version = "HTTP/1.1"
    server_version = "fwdctl-server"
    sys_version = ""
    timeout = 60
    wbufsize = -1  # head and body in one segment, else Nagle's algorithm holds the body back

    def do_GET(self) -> None:
        """Say who answered, and whom: a client behind a forwarder has the forwarder's address."""
        name = socket.gethostname()
        answer = {"server": name, "client": self.client_address[0], "port": self.connection.getsockname()[1]}
        body = (json.dumps(answer) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Fwdctl-Server", name)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - http.server looks the method up by this name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Keep the journal free of probes."""


class Server(ThreadingHTTPServer):
    """One listening port; a client that hangs up is no news."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what is a fault of this program, not a client's lost connection."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def start(ports: list[int], address: str = "") -> list[Server]:
    """Listen on every port and serve each in a thread of its own; OSError names a port that is taken."""
    servers = [Server((address, port), Handler) for port in ports]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return servers


def main(arguments: list[str]) -> int:
    """Serve until killed."""
    if len(arguments) != 1:
        sys.stderr.write("usage: server.py CONFIG\n")
        return 2
    config = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    start([int(port) for port in config["ports"]])
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
