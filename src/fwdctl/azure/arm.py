"""A lean client of Azure Resource Manager: JSON requests, bounded retries, fast polling, errors in words.

It stands on `requests`, which the login has loaded already; importing azure-core would add 90 ms to every
command and the management libraries 110-350 ms (measured). The rules it keeps are ARM's public ones: 429 and
5xx are repeated, `Retry-After` is honoured, a claims challenge is answered once, long operations are followed
through `Azure-AsyncOperation` or `Location`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fwdctl.azure.errors import ArmFailure, arm_failure, connection_failure
from fwdctl.errors import ExitCode, FwdctlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import requests

    from fwdctl.azure.credential import Login
    from fwdctl.runtime import Runtime

TIMEOUT = (5.0, 30.0)
"""Seconds to connect, and between two bytes of an answer."""
ATTEMPTS = 4
LONGEST_RETRY_AFTER = 30.0
FIRST_POLL, LAST_POLL = 0.2, 2.0
TICK = 0.5
"""Longest sleep at a stretch while a long operation is awaited."""
REPEATED = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Answer:
    """An answer that is not an error.

    Attributes:
        status: HTTP status, 200-299.
        body: decoded JSON, None for an empty one.
        headers: names in any case.
    """

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class Arm:
    """Requests to one subscription. Safe to use from several threads."""

    def __init__(self, login: Login, runtime: Runtime, session: requests.Session | None = None) -> None:
        self.login = login
        self._runtime = runtime
        self._session = session if session is not None else _new_session()

    @property
    def subscription_id(self) -> str:
        """The subscription of the login."""
        return self.login.subscription_id

    def path(self, resource_group: str, rest: str = "") -> str:
        """`/subscriptions/…/resourceGroups/NAME` and what follows it."""
        return f"/subscriptions/{self.subscription_id}/resourceGroups/{resource_group}{rest}"

    def get(self, path: str, api_version: str) -> Any:
        """A document.

        Raises:
            FwdctlError: as `request`.
        """
        return self.request("GET", path, api_version).body

    def list(self, path: str, api_version: str) -> Iterator[dict[str, Any]]:
        """Every element of a collection, all pages."""
        page = self.get(path, api_version)
        while True:
            yield from page.get("value", ())
            following = page.get("nextLink")
            if not following:
                return
            page = self._exchange("GET", self._own(following), None, None).body

    def request(self, method: str, path: str, api_version: str, body: Any = None) -> Answer:
        """One request, repeated while ARM asks for patience.

        Args:
            method: upper case.
            path: from the root, e.g. `/subscriptions/…`.
            api_version: value of `api-version`.
            body: sent as JSON; None for none.

        Raises:
            ArmFailure: ARM answered with an error.
            FwdctlError: no answer, or no login.
        """
        return self._exchange(method, self.login.endpoint + path, api_version, body)

    def wait(self, answer: Answer, *, timeout: float, tick: Callable[[], None] | None = None) -> Any:
        """Follow a long operation: at once, then every 0.2 s rising to 2 s, or as `Retry-After` says.

        Args:
            answer: of the request that began it; a plain answer is its own result.
            timeout: seconds.
            tick: called before every poll, and every half second in between; what it raises ends the wait.

        Returns:
            the last body.

        Raises:
            ArmFailure: the operation failed.
            FwdctlError: `operation_timed_out` (exit code 5).
        """
        operation = answer.headers.get("Azure-AsyncOperation")
        url = operation or answer.headers.get("Location")
        if not url:
            return answer.body
        deadline, pause = self._runtime.clock() + timeout, 0.0
        while True:
            self._rest(min(pause, deadline - self._runtime.clock()), tick)
            poll = self._exchange("GET", self._own(url), None, None)
            if _finished(poll, by_status=operation is not None):
                return poll.body
            if self._runtime.clock() >= deadline:
                raise FwdctlError(
                    "operation_timed_out",
                    f"Azure did not finish within {timeout:.0f} s.",
                    "It may still do so; look again in a while.",
                    exit_code=ExitCode.INCONCLUSIVE,
                )
            pause = _retry_after(poll.headers) or min(LAST_POLL, max(FIRST_POLL, pause * 1.5))

    def _rest(self, seconds: float, tick: Callable[[], None] | None) -> None:
        while True:
            if tick is not None:
                tick()
            if seconds <= 0:
                return
            self._runtime.sleep(min(seconds, TICK))
            seconds -= TICK

    def _own(self, url: str) -> str:
        """A polling address, refused if it would carry our token to somebody else."""
        host, own = urlsplit(url), urlsplit(self.login.endpoint)
        name, mine = host.hostname or "", own.hostname or ""
        if host.scheme != own.scheme or not (name == mine or name.endswith(f".{mine}")):
            raise FwdctlError(
                "foreign_polling_address",
                f"Azure's answer refers to {name}, which is not {mine}; not followed.",
            )
        return url

    def _exchange(self, method: str, url: str, api_version: str | None, body: Any) -> Answer:
        claims: str | None = None
        for attempt in range(1, ATTEMPTS + 1):
            answer = self._send(method, url, api_version, body, claims, last=attempt == ATTEMPTS)
            if answer is None:
                self._runtime.sleep(FIRST_POLL * 2**attempt)
                continue
            status = answer.status_code
            if status < 300:  # noqa: PLR2004 - HTTP's own boundary
                return Answer(status, _json(answer), answer.headers)
            if status == 401 and claims is None:  # noqa: PLR2004
                claims = _challenge(answer.headers.get("WWW-Authenticate", ""))
                if claims is not None:
                    continue
            wait = _retry_after(answer.headers)
            patient = wait is None or wait <= LONGEST_RETRY_AFTER
            if status not in REPEATED or attempt == ATTEMPTS or not patient:
                path = urlsplit(url).path
                raise arm_failure(
                    status, _json(answer), path=path, subscription=self.subscription_id, retry_after=wait
                )
            self._runtime.sleep(wait if wait is not None else FIRST_POLL * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _send(
        self, method: str, url: str, api_version: str | None, body: Any, claims: str | None, *, last: bool
    ) -> Any:
        """One attempt; None where the connection failed and another attempt is left."""
        from requests.exceptions import ConnectionError as Unreachable
        from requests.exceptions import RequestException, SSLError

        token = self.login.token(claims)
        started = time.perf_counter()

        def authorise(request: Any) -> Any:  # as a callable, so that ~/.netrc is not consulted
            request.headers["Authorization"] = f"Bearer {token}"
            return request

        try:
            answer = self._session.request(
                method,
                url,
                params={"api-version": api_version} if api_version else None,
                json=body,
                auth=authorise,
                timeout=TIMEOUT,
                allow_redirects=False,
            )
        except RequestException as error:
            if not last and isinstance(error, Unreachable) and not isinstance(error, SSLError):
                return None
            raise connection_failure(error, self.login.endpoint) from error
        if self._runtime.debug:
            spent = (time.perf_counter() - started) * 1000
            self._runtime.stderr.write(f"{method} {urlsplit(url).path} {answer.status_code} {spent:.0f} ms\n")
        return answer


def _new_session() -> requests.Session:
    from fwdctl.azure.session import session  # with `requests`, for commands that reach Azure only

    return session()


def _json(answer: Any) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError:
        return None


def _finished(poll: Answer, *, by_status: bool) -> bool:
    if not by_status:
        return poll.status != 202  # noqa: PLR2004 - Accepted: not yet
    body = poll.body if isinstance(poll.body, dict) else {}
    status = str(body.get("status", "Succeeded" if poll.status != 202 else "")).lower()  # noqa: PLR2004
    if status in {"failed", "canceled", "cancelled"}:
        error = body.get("error") or {}
        code = str(error.get("code") or f"Operation{status.title()}")
        message = str(error.get("message") or "The operation did not succeed.")
        raise ArmFailure(poll.status, (code, message), "operation_failed", message)
    return status == "succeeded"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; the date form is not used by ARM."""
    try:
        return max(0.0, float(headers.get("Retry-After", "")))
    except ValueError:
        return None


def _challenge(header: str) -> str | None:
    """The claims that a WWW-Authenticate header demands, decoded."""
    import base64
    import re

    found = re.search(r'claims="([^"]+)"', header)
    if found is None:
        return None
    text = found[1]
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return None
