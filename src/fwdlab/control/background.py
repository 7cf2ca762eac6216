"""The lab's background process: `python -m fwdlab.control.background NAME PORT LOCK`.

LOCK is the descriptor of the lab's lock. Standard output is told that the lab is ready or has failed; what
comes later goes to the log, which is standard error.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

from fwdlab.errors import LabError
from fwdlab.process import janitor, launch
from fwdlab.process.state import LabDirectory

if TYPE_CHECKING:
    from fwdlab.control.lab import Lab


def main() -> int:
    """Keep the lab's lock, enter its namespaces, serve until told to end."""
    name, port, lock = sys.argv[1], *map(int, sys.argv[2:])
    os.set_inheritable(lock, False)  # noqa: FBT003 - positional only; forks keep it, other programs do not
    directory = LabDirectory(name, os.environ)
    supervisor = os.getpid()
    try:
        janitor.start(directory)
        launch.enter_namespaces()
        # Only now: what follows is large, and the processes around it should stay small.
        from fwdlab.control.lab import Lab

        asyncio.run(_serve(Lab(directory, supervisor=supervisor, port=port)))
    except LabError as error:
        _report({"error": vars(error)})
        return 1
    except Exception as error:  # noqa: BLE001 - the only way to tell the command that waits
        traceback.print_exc()
        _report({"error": {"code": "lab_failed", "message": f"{type(error).__name__}: {error}."}})
        return 1
    return 0


async def _serve(lab: Lab) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    try:
        from fwdlab.control.private_routes import PrivateRoutes

        PrivateRoutes(lab, await lab.start()).register()
        if _report({"ready": True}):
            await ended.wait()
    finally:
        await lab.stop()


def _report(report: dict[str, object]) -> bool:
    """Tell the command that waits; False when it has gone meanwhile, and with it the wish for a lab."""
    try:
        os.write(1, json.dumps(report).encode() + b"\n")
    except OSError:
        print("Nobody waits for the lab any more.", file=sys.stderr)  # noqa: T201 - the lab's log
        return False
    finally:
        os.dup2(2, 1)
    return True


if __name__ == "__main__":
    sys.exit(main())
