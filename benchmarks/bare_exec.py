"""The least that any program must do: get az's token, do one exec round trip; what a probe is measured by.

Usage: bare_exec.py RESOURCE_GROUP CONTAINER_GROUP CONTAINER
"""

import os
import ssl
import sys

from azure.cli.core import get_default_cli
from azure.cli.core._profile import Profile
from azure.cli.core.auth.util import resource_to_scopes
from azure.mgmt.containerinstance import ContainerInstanceManagementClient
from websockets.sync.client import connect


def main() -> None:
    """Print `hi` from inside the container."""
    group, name, container = sys.argv[1:4]
    cli = get_default_cli()
    endpoints = cli.cloud.endpoints
    credential, subscription, _ = Profile(cli_ctx=cli).get_login_credentials()
    client = ContainerInstanceManagementClient(
        credential,
        subscription,
        base_url=endpoints.resource_manager,
        credential_scopes=resource_to_scopes(endpoints.active_directory_resource_id),
    )
    session = client.containers.execute_command(
        group, name, container, {"command": "/bin/sh", "terminalSize": {"rows": 24, "cols": 80}}
    )
    tls = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
    with connect(session.web_socket_uri, ssl=tls, proxy=None) as socket:
        socket.send(session.password)
        socket.send(b"echo h''i; exit\n")
        received = b""
        while b"hi" not in received:
            message = socket.recv(timeout=10)
            received += message if isinstance(message, bytes) else message.encode()
    print("hi")


if __name__ == "__main__":
    main()
