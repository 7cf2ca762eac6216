"""Azure's own client libraries, over the login and through one pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fwdctl.azure.documents import Document, same
from fwdctl.azure.errors import ArmFailure
from fwdctl.azure.versions import version_of
from fwdctl.errors import FwdctlError, InconclusiveError

if TYPE_CHECKING:
    from azure.core import PipelineClient
    from azure.core.pipeline import Pipeline
    from azure.core.polling import LROPoller
    from azure.core.rest import HttpRequest
    from azure.mgmt.containerinstance import ContainerInstanceManagementClient
    from azure.mgmt.network import NetworkManagementClient
    from azure.mgmt.privatedns import PrivateDnsManagementClient

    from fwdctl.azure.credential import Login
    from fwdctl.runtime import Runtime

NOT_FOUND = 404
TICK = 0.5
"""Longest wait at a stretch for an operation's end, in seconds."""


class Clients:
    """The clients of one subscription, each imported when it is first asked for.

    All of them raise ArmFailure where ARM answers with an error, and FwdctlError where nothing answers.
    May be used from several threads.
    """

    def __init__(self, login: Login, runtime: Runtime) -> None:
        self.login = login
        self._runtime = runtime
        self._others: dict[str, Clients] = {}

    @property
    def subscription_id(self) -> str:
        return self.login.subscription_id

    def of(self, subscription_id: str) -> Clients:
        """The clients of another subscription, or these."""
        if not subscription_id or same(subscription_id, self.subscription_id):
            return self
        other = Clients(replace(self.login, subscription_id=subscription_id), self._runtime)
        return self._others.setdefault(subscription_id.lower(), other)

    @cached_property
    def container_instances(self) -> ContainerInstanceManagementClient:
        from azure.mgmt.containerinstance import ContainerInstanceManagementClient

        return ContainerInstanceManagementClient(**self._options)

    @cached_property
    def networks(self) -> NetworkManagementClient:
        """Costs 200 ms to import: for discovery and explanations."""
        from azure.mgmt.network import NetworkManagementClient

        return NetworkManagementClient(**self._options)

    @cached_property
    def private_dns(self) -> PrivateDnsManagementClient:
        from azure.mgmt.privatedns import PrivateDnsManagementClient

        return PrivateDnsManagementClient(**self._options)

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """One request for which there is no client; JSON in and out, None for nothing.

        The path begins with `/subscriptions/…`; its type tells the version.
        """
        return self._send(self._asked(method, path, body))

    def find(self, resource_id: str) -> Document | None:
        """A resource; None where there is none."""
        found: Document | None = self._unless_gone("GET", resource_id)
        return found

    def delete(self, resource_id: str) -> None:
        """Ask for a resource's end, which need not have come when this returns."""
        self._unless_gone("DELETE", resource_id)

    def _unless_gone(self, method: str, resource_id: str) -> Any:
        try:
            return self.request(method, resource_id)
        except ArmFailure as error:
            if error.status != NOT_FOUND:
                raise
            return None

    def operation(self, method: str, path: str, interval: float, body: Any = None) -> LROPoller[Any]:
        """A long operation for which there is no client, asked for its end every `interval` seconds."""
        from azure.core.polling import LROPoller
        from azure.mgmt.core.polling.arm_polling import ARMPolling

        begun: Any = self._pipeline.run(self._asked(method, path, body), stream=False)
        begun.http_response.raise_for_status()
        polling = ARMPolling(interval, lro_options={"final-state-via": "location"})
        return LROPoller(self._arm, begun, lambda ended: _content(ended.http_response), polling)

    def result(
        self,
        poller: LROPoller[Any],
        patience: float,
        late: FwdctlError | None = None,
        tick: Callable[[], None] = lambda: None,
    ) -> Any:
        """What a long operation ends with; `tick` is called while it takes.

        Raises:
            FwdctlError: it failed, or has not ended after `patience` seconds, which `late` puts in words.
        """
        from azure.core.exceptions import HttpResponseError

        deadline = time.monotonic() + patience
        try:
            while not poller.done() and (left := deadline - time.monotonic()) > 0:
                poller.wait(min(left, TICK))
                tick()
            if not poller.done():
                raise late or InconclusiveError(
                    "operation_timed_out",
                    f"Azure did not finish within {patience:.0f} s.",
                    "It may still do so; look again in a while.",
                )
            return poller.result()
        except HttpResponseError as error:  # in the body of an answer that is none
            raise ArmFailure(error, self.subscription_id) from error

    def list(self, path: str) -> Iterator[dict[str, Any]]:
        """Every element of a collection for which there is no client, all pages."""
        from azure.core.rest import HttpRequest

        page = self.request("GET", path)
        yield from page["value"]
        while page.get("nextLink"):
            page = self._send(HttpRequest("GET", page["nextLink"]))
            yield from page["value"]

    def _asked(self, method: str, path: str, body: Any) -> HttpRequest:
        from azure.core.rest import HttpRequest

        version = {"api-version": version_of(path)}
        return HttpRequest(method, self.login.endpoint + path, params=version, json=body)

    def _send(self, request: HttpRequest) -> Any:
        return _content(self._arm.send_request(request))

    @cached_property
    def _arm(self) -> PipelineClient[Any, Any]:
        from azure.core import PipelineClient

        return PipelineClient(self.login.endpoint, pipeline=self._pipeline)

    @cached_property
    def _pipeline(self) -> Pipeline[Any, Any]:
        from fwdctl.azure.policies import pipeline

        return pipeline(self.login, self._runtime)

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "credential": self.login,
            "subscription_id": self.subscription_id,
            "base_url": self.login.endpoint,
            "pipeline": self._pipeline,
        }


def _content(response: Any) -> Any:
    """The JSON of an answer; None for nothing."""
    return response.json() if response.content else None
