"""The labs that run: a client of one, and what the lab's errors are to fwdctl."""

from __future__ import annotations

import contextlib
import re
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fwdctl.errors import ExitCode, FwdctlError
from fwdlab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwdctl.runtime import Runtime
    from fwdlab.cli.client import LabClient

DEFAULT_NAME = "lab"
PACKAGES = ("aiohttp", "cryptography", "dnslib")
"""What the extra `lab` installs."""
EXIT_CODES = {
    "lab_not_running": ExitCode.NOT_FOUND,
    "node_not_found": ExitCode.NOT_FOUND,
    "fault_not_active": ExitCode.NOT_FOUND,
    "lab_unreachable": ExitCode.NOT_FOUND,
    "lab_requirement_missing": ExitCode.NOT_FOUND,
    "lab_name_invalid": ExitCode.USAGE,
    "fault_unknown": ExitCode.USAGE,
    "fault_target_unknown": ExitCode.USAGE,
    "fault_active": ExitCode.USAGE,
    "lab_already_running": ExitCode.USAGE,
    "lab_port_taken": ExitCode.USAGE,
}
"""Of the lab's errors; of all others it is 1."""


@contextlib.contextmanager
def lab_errors(name: str = DEFAULT_NAME) -> Iterator[None]:
    """Refuse what the lab cannot run on, and turn the errors of the lab of this name into fwdctl's."""
    if sys.platform != "linux":
        raise FwdctlError(
            "platform_not_supported",
            f"The lab needs Linux kernel namespaces; this is {sys.platform}.",
            "Use the dev container, a Linux machine or WSL 2.",
            exit_code=ExitCode.NOT_FOUND,
        )
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise FwdctlError(
            "lab_extra_missing",
            f"The lab needs Python packages that are not installed: {', '.join(missing)}.",
            "Run `pip install 'fwdctl[lab]'`.",
            exit_code=ExitCode.NOT_FOUND,
        )
    try:
        yield
    except LabError as error:
        code = EXIT_CODES.get(error.code, ExitCode.UNEXPECTED)
        suggestion = error.suggestion
        if name != DEFAULT_NAME:  # what is advised is about the same lab
            suggestion = re.sub(r"`fwdctl lab (\w+)", rf"`fwdctl lab \1 --name {name}", suggestion)
        raise FwdctlError(error.code, error.message, suggestion, exit_code=code) from error


def name_in(runtime: Runtime) -> str:
    """The lab that a shell was prepared for, or the one without a name."""
    return runtime.environ.get("FWDCTL_LAB") or DEFAULT_NAME


def client_of(name: str, runtime: Runtime) -> LabClient:
    """A client of the running lab of that name."""
    from fwdlab.cli.client import LabClient
    from fwdlab.process.state import LabDirectory

    directory = LabDirectory(name, runtime.environ)
    return LabClient(directory.load(), directory.ca_bundle)
