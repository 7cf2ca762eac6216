"""Stand-in for an on-premise server: answers every request with who answered whom.

Standard library only, Python 3.8 or newer. Usage: server.py [SOURCE]: the file or the address that holds
`{"version": 1, "ports": [8000]}`; by default the machine's own user data. It is read again every few seconds:
ports open and close while the others go on.
"""

from __future__ import annotations

import base64
import json
import socket
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# Microsoft Learn, virtual-machines/user-data: the machine's own, base64, at most 64 KiB.
USER_DATA = "http://169.254.169.254/metadata/instance/compute/userData?api-version=2021-01-01&format=text"
LARGEST = 65_536
READ_SECONDS = 3.0


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


def read(source: str) -> str:
    """The text of a file, or user data decoded; OSError or ValueError where there is none."""
    if not source.startswith("http"):
        return Path(source).read_text(encoding="utf-8")
    request = urllib.request.Request(source, headers={"Metadata": "true"})  # noqa: S310 - http only, see above
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=READ_SECONDS) as answer:
        return base64.b64decode(answer.read(2 * LARGEST), validate=True).decode("utf-8")


def parse(text: str) -> set[int]:
    """The ports of a configuration; ValueError where it is none."""
    try:
        return {int(port) for port in json.loads(text)["ports"]}
    except (KeyError, TypeError) as error:
        raise ValueError(f"the configuration has another shape: {error}") from error


class Ports:
    """The open ports."""

    def __init__(self, address: str = "") -> None:
        self.servers: dict[int, Server] = {}
        self._address = address

    def follow(self, wanted: set[int]) -> None:
        """Close the ports that are not wanted any more and open the new ones; OSError where one is taken."""
        for port in self.servers.keys() - wanted:
            server = self.servers.pop(port)
            server.shutdown()
            server.server_close()
        for port in wanted - self.servers.keys():
            server = self.servers[port] = Server((self._address, port), Handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()


def main(arguments: list[str]) -> int:
    """Serve until killed; what cannot be read or opened is said once and tried again."""
    source = arguments[0] if arguments else USER_DATA
    ports, said = Ports(), ""
    while True:
        try:
            ports.follow(parse(read(source)))
            problem = ""
        except (OSError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
        if problem and problem != said:
            sys.stderr.write(f"{source}: {problem}\n")
            sys.stderr.flush()
        said = problem
        time.sleep(READ_SECONDS if ports.servers else 1.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
