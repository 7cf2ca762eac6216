"""Files of a lab: where they are, what stands in them, and whether the lab that wrote them still runs.

A lab owns one directory, `STATE/fwdctl/labs/NAME` (mode 0700). Its background process holds a lock on the
file `lock` as long as it lives, so "running" is never guessed from a process number. The directory goes away
with the process.
"""

from __future__ import annotations

import contextlib
import copy
import errno
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
from fwdlab.process.requirements import WANTED_FILES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOLD_SECONDS = 0.5
"""How long a lock may be held by somebody who only asks for it, or by the last processes of a killed lab."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_LOCK = "lock"
_CLIENTS = frozenset({"azure", "azd"})
"""Folders that az, azd and fwdctl make again for a shell that goes on using a lab that has ended."""


@dataclass(frozen=True)
class LabState:
    """What other processes need to know of a running lab.

    Attributes:
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
                f"'{name}' cannot be the name of a lab.",
                "Use up to 31 lower-case letters, digits and hyphens.",
            )
        self.name = name
        self.path = labs_root(environ) / name

    @property
    def log_file(self) -> Path:
        return self.path / "lab.log"

    @property
    def request_log(self) -> Path:
        return self.path / "requests.jsonl"

    @property
    def certificates(self) -> Path:
        return self.path / "tls"

    @property
    def ca_bundle(self) -> Path:
        """System roots and the lab's own authority."""
        return self.certificates / "bundle.pem"

    def hold(self) -> int:
        """Make the directory, empty and for its owner only, and take its lock; for its descriptor's life.

        The forks of this process, and whoever is handed the descriptor, hold the lock with it.

        Raises:
            LabError: `lab_already_running` when another process has it, `lab_directory_foreign` when no lab
                has made the directory, `lab_directory_refused` where this user may not write.
        """
        deadline = time.monotonic() + HOLD_SECONDS
        while time.monotonic() < deadline:
            try:
                self._make()
                descriptor = self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, os.O_CREAT)
            except (BlockingIOError, FileNotFoundError):  # held; or its parents were removed meanwhile
                descriptor = None
            except OSError as error:
                raise LabError(
                    "lab_directory_refused",
                    f"{self.path} cannot be made: {error.strerror}.",
                    "Set XDG_STATE_HOME to a directory of yours.",
                ) from error
            if descriptor is not None:
                self._clear()  # left by a process that was killed together with its janitor
                return descriptor
            time.sleep(0.02)
        message = f"The lab '{self.name}' is already running."
        raise LabError("lab_already_running", message, "See `fwdctl lab status`.")

    def remove(self) -> None:
        """Wait until nobody holds the lab, then remove its directory and the parents that are empty."""
        descriptor = self._lock(fcntl.LOCK_EX)
        if descriptor is not None:
            self._remove(descriptor)

    def sweep(self) -> list[str]:
        """Remove the files of every lab of this user that no process owns; the names of these labs.

        A lab and its janitor must have been killed for that. Credentials are among the files.
        """
        return [lab.name for lab in self._labs() if lab._remove_abandoned()]  # noqa: SLF001 - the same class

    def _remove_abandoned(self) -> bool:
        try:
            descriptor = self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if descriptor is not None:
            self._remove(descriptor)
        return descriptor is not None

    def _remove(self, descriptor: int) -> None:
        self._clear()
        # The lock goes last: until then nobody can start a lab here, from then on a lock is another lab's.
        with contextlib.suppress(OSError):  # another lab still lives there
            (self.path / _LOCK).unlink()
            for directory in (self.path, *self.path.parents[:2]):
                directory.rmdir()
        os.close(descriptor)

    def _make(self) -> None:
        with contextlib.suppress(FileExistsError):  # `exist_ok` fails where another one removes it just now
            self.path.mkdir(parents=True)
        found = os.listdir(self.path)  # noqa: PTH208 - in one go: the lock is there first and last
        ours = _LOCK in found or _CLIENTS.issuperset(found)
        if not ours or self.path.is_symlink() or (self.path / _LOCK).is_symlink():
            raise LabError("lab_directory_foreign", f"{self.path} was not made by a lab.", "Move it away.")
        self.path.chmod(0o700)

    def _clear(self) -> None:
        """Remove all but the lock."""
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != _LOCK:
                entry.unlink()

    def _lock(self, how: int, flags: int = 0) -> int | None:
        """Descriptor of the lock file, locked; None when there is none, or it was removed before it was ours.

        Raises:
            BlockingIOError: another process has it, and `how` says not to wait.
        """
        path = self.path / _LOCK
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | flags, 0o600)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:  # somebody else's link
                return None
            raise
        try:
            fcntl.flock(descriptor, how)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise
        except FileNotFoundError:
            pass
        os.close(descriptor)
        return None

    def wait_for_end(self, seconds: float) -> bool:
        """Wait until no process holds the lab and its directory is gone; False when that takes longer.

        What az or azd put there meanwhile, for a shell that still uses the lab, is none of the lab's.
        """
        deadline = time.monotonic() + seconds
        while not self._gone():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _gone(self) -> bool:
        try:
            found = os.listdir(self.path)  # noqa: PTH208 - in one go, as in `_make`
        except FileNotFoundError:
            return True
        return bool(found) and _CLIENTS.issuperset(found)

    def running(self) -> bool:
        try:
            descriptor = self._lock(fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        if descriptor is not None:
            os.close(descriptor)
        return False

    def _labs(self) -> Iterator[LabDirectory]:
        """Every lab of this user that has files."""
        for lock in sorted(self.path.parent.glob(f"*/{_LOCK}")):
            other = copy.copy(self)
            other.path, other.name = lock.parent, lock.parent.name
            if not other.path.is_symlink():
                yield other

    def refusal(self, error: OSError, failed: str) -> LabError:
        """What the system refused, and what helps; `failed` says what could not be done."""
        suggestion = f"See {self.log_file}, or run it with another `XDG_STATE_HOME`."
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            suggestion = f"Make room in {self.path}, or set `XDG_STATE_HOME` to another directory of yours."
        elif error.errno in {errno.EMFILE, errno.ENFILE}:
            suggestion = f"Run `ulimit -n {WANTED_FILES}`, or raise the limit of the service."
        what = f"{error.filename}: " if error.filename else ""
        message = f"{failed}: {what}{error.strerror or type(error).__name__}."
        return LabError("lab_failed", message, suggestion)

    def save(self, state: LabState) -> None:
        """Write the state in one step, readable by the owner only."""
        temporary = self.path / ".lab.json.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(state), file, indent=1)
        temporary.replace(self.path / "lab.json")

    def load(self) -> LabState:
        """Read the state of the running lab.

        Raises:
            LabError: `lab_not_running`.
        """
        if not self.running():
            killed = self.name in self.sweep()
            others = ", ".join(lab.name for lab in self._labs() if lab.running())
            hint = f" These run: {others}; choose one with `--name`." if others else ""
            message = f"The lab '{self.name}' is not running."
            message += " It had been killed; its files are gone now." if killed else ""
            raise LabError("lab_not_running", message, f"Start it with `fwdctl lab up`.{hint}")
        try:
            values: dict[str, Any] = json.loads((self.path / "lab.json").read_text())
        except FileNotFoundError as error:
            message = f"The lab '{self.name}' is still starting."
            raise LabError("lab_not_running", message, "Try again in a moment.") from error
        return LabState(**values)


def labs_root(environ: Mapping[str, str]) -> Path:
    """The directory of all labs of this user (XDG base directory specification: state)."""
    home = Path(environ.get("HOME") or Path.home())
    base = environ.get("XDG_STATE_HOME") or ""
    # The specification says that a relative path is to be ignored.
    root = Path(base) if base.startswith("/") else home / ".local" / "state"
    return root / "fwdctl" / "labs"
