"""The lab's background process: `python -m fwdlab.control.background NAME PORT LOCK`.

LOCK is the descriptor of the lab's lock. Standard input is the user's environment as JSON: the processes of
nodes are forks of this one, and must not have it. Standard output is told that the lab is ready or has
failed; what comes later goes to the log, which is standard error.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from fwdlab.errors import LabError
from fwdlab.process import janitor, launch

# What is imported up here stays in the memory of supervisor and janitor.
if TYPE_CHECKING:
    from fwdlab.control.lab import Lab
    from fwdlab.process.state import LabDirectory


def main() -> int:
    """Keep the lab's lock, enter its namespaces, serve until told to end."""
    name, port, lock = sys.argv[1], *map(int, sys.argv[2:])
    os.set_inheritable(lock, False)  # noqa: FBT003 - positional only; forks keep it, other programs do not
    environment = dict(os.environ)
    supervisor = os.getpid()
    try:
        janitor.start(lambda: _directory(name, environment).remove())
        launch.enter_namespaces()
        directory = _directory(name, environment)
        from fwdlab.nodes import fork_server
        from fwdlab.process import requirements

        requirements.raise_open_files()
        fork_server.start()
        environ: dict[str, str] = json.loads(os.pread(0, 2**24, 0))
        issuing = _issue_certificates(directory, environ)
        _load_lab(environ)
        _await(issuing, directory)
        import asyncio

        from fwdlab.control.lab import Lab

        asyncio.run(_serve(Lab(directory, supervisor=supervisor, port=port)))
    except LabError as error:
        _report({"error": vars(error)})
        return 1
    except OSError as error:
        with contextlib.suppress(OSError):  # the log stands on the disk that may be full
            _print_traceback()
        refusal = _directory(name, environment).refusal(error, "The lab cannot start")
        _report({"error": vars(refusal)})
        return 1
    except Exception as error:  # noqa: BLE001 - the only way to tell the command that waits
        _print_traceback()
        _report({"error": {"code": "lab_failed", "message": f"{type(error).__name__}: {error}."}})
        return 1
    return 0


def _directory(name: str, environment: dict[str, str]) -> LabDirectory:
    from fwdlab.process.state import LabDirectory

    return LabDirectory(name, environment)


def _print_traceback() -> None:
    import traceback

    traceback.print_exc()


def _issue_certificates(directory: LabDirectory, environ: dict[str, str]) -> int:
    """Issue them in a process of its own, beside what follows; its number.

    The library that it loads takes 8 MB, and nothing else in the lab needs it.
    """
    child = os.fork()
    if child:
        return child
    status = 255
    try:
        from fwdlab.clients.certs import issue_certificates

        os.environ.clear()
        os.environ.update(environ)
        issue_certificates(directory.certificates, environ)
        status = 0
    except OSError as error:
        status = error.errno or status
    finally:
        os._exit(status)


def _await(issuing: int, directory: LabDirectory) -> None:
    status = os.waitstatus_to_exitcode(os.waitpid(issuing, 0)[1])
    if status:
        raise OSError(status, os.strerror(status), str(directory.certificates))
    launch.collect_orphans()


def _load_lab(environ: dict[str, str]) -> None:
    """Import the lab, and take over the user's environment."""
    sys.modules["cryptography"] = None  # type: ignore[assignment]  # for jwt, which needs it for no HMAC
    # Aiohttp's client, which is not used, loads all roots; a compiled list brings a library of one megabyte.
    os.environ |= {"SSL_CERT_FILE": os.devnull, "FROZENLIST_NO_EXTENSIONS": "1"}
    import_module("fwdlab.control.lab")
    gc.freeze()
    gc.set_threshold(10_000, 20, 10)  # a template makes much that stays as long as its deployment
    os.environ.clear()
    os.environ.update(environ)
    os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)


async def _serve(lab: Lab) -> None:
    import asyncio

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
