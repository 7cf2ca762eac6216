"""The least that any program must do: get az's token, do one exec round trip; what a probe is measured by.

Usage: bare_exec.py sdk|lean RESOURCE_GROUP CONTAINER_GROUP CONTAINER

`sdk` starts the exec with azure-mgmt-containerinstance, as fwdctl does; `lean` with requests alone.
"""

from __future__ import annotations

import os
import ssl
import sys

from azure.cli.core import get_default_cli
from azure.cli.core._profile import Profile
from azure.cli.core.auth.util import resource_to_scopes

EXEC = {"command": "/bin/sh", "terminalSize": {"rows": 24, "cols": 80}}


def start(how: str, group: str, name: str, container: str) -> tuple[str, str]:
    """The web socket's address and password."""
    cli = get_default_cli()
    endpoints = cli.cloud.endpoints
    scopes = resource_to_scopes(endpoints.active_directory_resource_id)
    credential, subscription, _ = Profile(cli_ctx=cli).get_login_credentials()
    if how == "sdk":
        from azure.mgmt.containerinstance import ContainerInstanceManagementClient

        client = ContainerInstanceManagementClient(
            credential, subscription, base_url=endpoints.resource_manager, credential_scopes=scopes
        )
        session = client.containers.execute_command(group, name, container, EXEC)
        return session.web_socket_uri, session.password
    import requests

    path = (
        f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerInstance"
        f"/containerGroups/{name}/containers/{container}/exec?api-version=2023-05-01"
    )
    token = credential.get_token(*scopes).token
    answer = requests.post(
        endpoints.resource_manager.rstrip("/") + path,
        json=EXEC,
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    ).json()
    return answer["webSocketUri"], answer["password"]


def main() -> None:
    """Print `hi` from inside the container."""
    from websockets.sync.client import connect

    uri, password = start(*sys.argv[1:5])
    tls = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
    with connect(uri, ssl=tls, proxy=None) as socket:
        socket.send(password)
        socket.send(b"echo h''i; exit\n")
        received = b""
        while b"hi" not in received:
            message = socket.recv(timeout=10)
            received += message if isinstance(message, bytes) else message.encode()
    print("hi")


if __name__ == "__main__":
    main()
