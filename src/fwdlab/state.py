"""Files of a lab: where they are, what stands in them, and whether the lab that wrote them still runs.

A lab owns one directory, `STATE/fwdctl/labs/NAME` (mode 0700). Its background process holds a lock on the
file `lock` as long as it lives, so "running" is never guessed from a process number. The directory goes away
with the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fwdlab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_NAME = "lab"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_MARKER = ".fwdctl-lab"


@dataclass(frozen=True)
class LabState:
    """What other processes need to know of a running lab.

    Attributes:
        name: the lab's name.
        pid: process number of its supervisor, as the host sees it.
        base_url: the ARM endpoint, e.g. `https://127.0.0.1:41873`.
        proxy_port: loopback port of the CONNECT proxy for azd.
        control_token: bearer token of the private `/lab/` routes.
        environment: variables with which az, azd and fwdctl reach the lab.
        outputs: outputs of the template that `lab up` deployed, as azd would put them into its environment.
    """

    name: str
    pid: int
    base_url: str
    proxy_port: int
    control_token: str
    environment: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)


class LabDirectory:
    """The directory of one lab.

    Raises:
        LabError: `lab_name_invalid` when the name cannot be a directory and host name.
    """

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        if not _NAME.fullmatch(name):
            raise LabError(
                "lab_name_invalid",
                f"'{name}' cannot be the name of a lab",
                "Use up to 31 lower-case letters, digits and hyphens",
            )
        self.name = name
        self.path = labs_root(environ) / name

    @property
    def log_file(self) -> Path:
        """Output of the background process."""
        return self.path / "lab.log"

    @property
    def request_log(self) -> Path:
        """One JSON line for each ARM request."""
        return self.path / "requests.jsonl"

    @property
    def ca_bundle(self) -> Path:
        """System roots and the lab's own authority."""
        return self.path / "tls" / "bundle.pem"

    def create(self) -> None:
        """Make the directory, readable by its owner only, and mark it as ours.

        Raises:
            LabError: `lab_directory_refused` where this user may not write.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o700)
            (self.path / _MARKER).touch()
        except OSError as error:
            raise LabError(
                "lab_directory_refused",
                f"{self.path} cannot be made: {error.strerror}",
                "Set XDG_STATE_HOME to a directory of yours",
            ) from error

    def remove(self) -> None:
        """Remove the directory and its parents that are empty; refuse one that no lab has made."""
        if not self.path.exists():
            return
        if not (self.path / _MARKER).exists():
            raise LabError("lab_directory_foreign", f"{self.path} was not made by a lab", "Move it away")
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):  # another lab still lives there
            self.path.parent.rmdir()
            self.path.parent.parent.rmdir()

    def hold(self) -> int:
        """Take the lock for the life of this process and its forks; the file descriptor must stay open.

        Raises:
            LabError: `lab_already_running` when another process has it.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise LabError(
                "lab_already_running", f"the lab '{self.name}' is already running", "See 'fwdctl lab status'"
            ) from error
        return descriptor

    def wait_for_end(self, seconds: float) -> bool:
        """Wait until no process holds the lab and its directory is gone; False when that takes longer."""
        deadline = time.monotonic() + seconds
        while self.path.exists():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def running(self) -> bool:
        """Whether the lab's process lives."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def save(self, state: LabState) -> None:
        """Write the state in one step, readable by the owner only."""
        self.write_private("lab.json", json.dumps(asdict(state), indent=1))

    def load(self) -> LabState:
        """Read the state of the running lab.

        Raises:
            LabError: `lab_not_running`.
        """
        if not self.running():
            raise LabError(
                "lab_not_running", f"the lab '{self.name}' is not running", "Start it with 'fwdctl lab up'"
            )
        try:
            values: dict[str, Any] = json.loads((self.path / "lab.json").read_text())
        except FileNotFoundError as error:
            raise LabError(
                "lab_not_running", f"the lab '{self.name}' is still starting", "Try again in a moment"
            ) from error
        return LabState(**values)

    def write_private(self, name: str, text: str) -> None:
        """Replace a file of the lab atomically with mode 0600."""
        temporary = self.path / f".{name}.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        temporary.replace(self.path / name)


def labs_root(environ: Mapping[str, str]) -> Path:
    """The directory of all labs of this user (XDG base directory specification: state)."""
    home = Path(environ.get("HOME") or Path.home())
    base = environ.get("XDG_STATE_HOME") or ""
    # The specification says that a relative path is to be ignored.
    root = Path(base) if base.startswith("/") else home / ".local" / "state"
    return root / "fwdctl" / "labs"


def known_labs(environ: Mapping[str, str]) -> list[str]:
    """Names of the labs that run."""
    root = labs_root(environ)
    if not root.is_dir():
        return []
    names = sorted(entry.name for entry in root.iterdir() if (entry / _MARKER).exists())
    return [name for name in names if LabDirectory(name, environ).running()]
