"""Starts and ends the background process of a lab, from the process of a command."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from fwdlab.errors import LabError
from fwdlab.process import requirements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwdlab.process.state import LabDirectory, LabState

_ENVIRONMENT = ("HOME", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "XDG_STATE_HOME")
"""What of the user's environment the first process gets; the rest is handed to the one that serves."""
_FIRST = {
    # Importing aiohttp's client, which nobody uses, would load all roots that the system trusts.
    "SSL_CERT_FILE": os.devnull,
    "SSL_CERT_DIR": os.devnull,
    # Threads share what is free, and give it back (mallopt(3)): 2 MB less.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}
START_SECONDS = 30.0
STOP_SECONDS = 10.0


def start(directory: LabDirectory, *, port: int, environ: Mapping[str, str]) -> LabState:
    """Start a lab and wait until its endpoint answers.

    Port 0 means any free one. `environ` is the user's: its proxy and roots serve what is passed through.

    Raises:
        LabError: `lab_already_running`, a missing requirement, or what the lab's process reported. Whatever
            is raised, nothing that was started here is left.
    """
    requirements.require()
    lock = directory.hold()  # from here on, so that of two commands at once only one starts a process
    try:
        with directory.log_file.open("ab") as log, _as_file(environ) as given:
            process = subprocess.Popen(
                [sys.executable, "-m", "fwdlab.control.background", directory.name, str(port), str(lock)],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_FIRST | {name: environ[name] for name in _ENVIRONMENT if name in environ},
                pass_fds=(lock,),
                start_new_session=True,
                cwd="/",
            )
    finally:
        os.close(lock)  # the process has it now
    try:
        _await_report(process)
        return directory.load()
    except BaseException:
        process.kill()
        process.wait(STOP_SECONDS)
        if not directory.wait_for_end(STOP_SECONDS / 5) and not directory.running():
            directory.remove()  # it was killed before it had a janitor
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()


def _as_file(environ: Mapping[str, str]) -> BinaryIO:
    """An environment as JSON, in memory only."""
    file = os.fdopen(os.memfd_create("environment"), "w+b", buffering=0)
    file.write(json.dumps(dict(environ)).encode())
    file.seek(0)
    return file


def stop(directory: LabDirectory) -> bool:
    """End a lab and wait until nothing of it is left; False when only a killed one's files were left.

    Raises:
        LabError: `lab_not_running`, or `lab_not_ended` when something of it is still there after 10 s.
    """
    if directory.name in directory.sweep():
        return False
    state = directory.load()
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(state.pid, number)
        except ProcessLookupError:
            break
        if directory.wait_for_end(STOP_SECONDS / 2):
            return True
    if not directory.wait_for_end(STOP_SECONDS / 2):
        raise LabError("lab_not_ended", f"{directory.path} is still in use.", f"Look at process {state.pid}.")
    return True


def _await_report(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process says on its standard output that it is ready.

    Raises:
        LabError: what it says has failed, `lab_start_timeout`, or `lab_died`: it ends without a word.
    """
    reader = process.stdout.fileno() if process.stdout else -1
    deadline = time.monotonic() + START_SECONDS
    received = b""
    while not received.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            raise LabError("lab_start_timeout", f"The lab was not ready within {START_SECONDS:.0f} s.")
        chunk = os.read(reader, 65536)
        if not chunk:
            status = process.wait(STOP_SECONDS)
            message = f"The lab's process ended with status {status} while starting."
            raise LabError("lab_died", message)
        received += chunk
    report: dict[str, Any] = json.loads(received)
    if "error" in report:
        raise LabError(**report["error"])
