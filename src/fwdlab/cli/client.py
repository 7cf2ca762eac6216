"""Calls the private routes of a running lab, as the commands of `fwdctl lab` do."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.parse
from typing import TYPE_CHECKING, Any

from fwdlab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

    from fwdlab.process.state import LabState


class LabClient:
    """One lab; every call is one request with a time limit, and no proxy is ever used."""

    def __init__(self, state: LabState, ca_bundle: Path) -> None:
        self.state = state
        self._tls = ssl.create_default_context(cafile=str(ca_bundle))
        self._address = urllib.parse.urlsplit(state.base_url)

    def control(self, method: str, path: str, body: Any = None, *, seconds: float | None = 30) -> Any:
        """Call a route such as `/lab/status`; the decoded answer. None for seconds is no limit.

        Raises:
            LabError: what the lab answered as an error, or `lab_unreachable`.
        """
        host, port = self._address.hostname or "127.0.0.1", self._address.port
        connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=self._tls)
        headers = {
            "Authorization": f"Bearer {self.state.control_token}",
            "Content-Type": "application/json",
        }
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            document = json.loads(answer.read() or "null")
        except (OSError, http.client.HTTPException) as error:
            raise LabError(
                "lab_unreachable",
                f"The lab '{self.state.name}' does not answer at {self.state.base_url}: {error}.",
                "See `fwdctl lab log`, or start afresh with `fwdctl lab down` and `fwdctl lab up`.",
            ) from error
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            error_document = document["error"]
            raise LabError(
                error_document["code"], error_document["message"], error_document.get("suggestion", "")
            )
        return document
