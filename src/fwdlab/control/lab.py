"""A lab: its parts, put together, started and ended."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

from fwdlab.arm.api import ArmApi
from fwdlab.arm.locations import regions
from fwdlab.arm.log import RequestLog
from fwdlab.arm.server import Server
from fwdlab.arm.store import Store
from fwdlab.arm.template.routes import DeploymentRoutes
from fwdlab.clients.certs import Certificates
from fwdlab.clients.credentials import Credentials
from fwdlab.clients.profile import Profile
from fwdlab.clients.proxy import Proxy, Upstream
from fwdlab.fabric.dataplane import DataPlane
from fwdlab.process.state import LabState

if TYPE_CHECKING:
    from fwdlab.process.state import LabDirectory


class Lab:
    """The parts of one lab, in the order in which data flow through them: server, api, store, data plane.

    Its certificates have been issued.

    `supervisor` is the process that ends the lab when it is killed, as the host sees it.
    Port 0 is a free one.
    """

    def __init__(self, directory: LabDirectory, *, supervisor: int, port: int) -> None:
        self.directory = directory
        self.supervisor = supervisor
        self.port = port
        self.credentials = Credentials.load_or_create(directory.path / "credentials.json")
        self.certificates = Certificates.within(directory.certificates)
        self.requests = RequestLog(directory.request_log)
        self.store = Store()
        self.data_plane = DataPlane(
            run_dir=directory.path / "run", log=write_log, tls=self.certificates.server_context()
        )
        self.api = ArmApi(
            self.store,
            self.data_plane,
            subscription_id=self.credentials.subscription_id,
            tenant_id=self.credentials.tenant_id,
            tenants=self.credentials.tenants,
        )
        self.data_plane.on_container_end = self.api.container_ended
        self.deployments = DeploymentRoutes(self.api, locations=regions())
        self.server = Server(self.api, self.credentials, self.certificates, self.requests)
        self.server.routes.append(self.deployments)
        self.api.group_deleted.append(self.deployments.forget)
        self.proxy = Proxy(
            lab_port=0,
            password=self.credentials.proxy_password,
            upstream=Upstream.parse(os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or ""),
            log=lambda verdict, host: self.requests.event("proxy", verdict=verdict, host=host),
        )

    async def start(self) -> LabState:
        """Bring everything up and write the files by which clients find it; what they say.

        Raises:
            LabError: the port is taken, or the kernel refused something.
        """
        await self.server.start(self.port)
        await self.data_plane.start(self.store)
        self.proxy.lab_port = self.server.port
        await self.proxy.start()
        path = self.directory.path
        profile = Profile(
            base_url=self.server.base_url,
            proxy_port=self.proxy.port,
            bundle=self.certificates.bundle,
            az_directory=path / "azure",
            azd_directory=path / "azd",
        )
        profile.write(self.credentials)
        state = LabState(
            name=self.directory.name,
            pid=self.supervisor,
            base_url=self.server.base_url,
            proxy_port=self.proxy.port,
            control_token=self.credentials.control_token,
            environment=profile.environment(self.credentials, os.environ),
        )
        self.directory.save(state)
        return state

    async def stop(self) -> None:
        await self.deployments.close()
        await self.api.close()
        await self.server.stop()
        await self.proxy.stop()
        await self.data_plane.close()
        self.requests.close()


def write_log(text: str) -> None:
    """A line of the lab's own log, which is its standard error."""
    with contextlib.suppress(OSError):  # the disk is full
        print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)  # noqa: T201 - this is the log
