"""Runs Python programs of a node in forks of the lab's interpreter, where that is the same to them.

An interpreter of its own costs each program 10 to 15 MB and a tenth of a second of processor time. A fork of
one that has loaded what such programs import shares most of its memory with the lab's other processes.
Standard library only.
"""

from __future__ import annotations

import ast
import atexit
import gc
import marshal
import os
import py_compile
import signal
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from fwdlab.process import syscalls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PRELOADED = ("asyncio", "concurrent.futures", "http.server", "ipaddress", "json", "ssl", "urllib.request")
_COMMANDS = frozenset({"python3", "/usr/bin/python3"})
_INTERRUPTED = 130


def preload() -> None:
    """Import what programs of nodes use, before they are forked."""
    for name in _PRELOADED:
        import_module(name)
    gc.collect()
    gc.freeze()  # or the first collection in each fork would write to, and so copy, every page of objects


def may_run(argv: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a command is Python with a file and nothing else."""
    if len(argv) < 2 or argv[0] not in _COMMANDS or argv[1].startswith("-"):  # noqa: PLR2004 - command and file
        return False
    return Path("/usr/bin/python3").exists() and not any(name.startswith("PYTHON") for name in environment)


def _load(file: str) -> CodeType | None:
    """The program, if it needs nothing but the standard library and files beside it.

    Compiled in a process of its own, because that leaves much memory in pieces.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(writer, "wb") as out:
                out.write(marshal.dumps(_compiled(file)))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as found:
        compiled = found.read()
    os.waitpid(child, 0)
    return marshal.loads(compiled) if compiled else None  # noqa: S302 - from this process's own fork


def _compiled(file: str) -> CodeType:
    """A program; its own modules are compiled on the way, to where Python keeps them.

    Raises:
        ImportError: it needs others.
    """
    found: set[Path] = set()
    _find_modules(Path(file), found)
    for module in found:
        with suppress(OSError):
            py_compile.compile(str(module))
    return compile(Path(file).read_bytes(), file, "exec", dont_inherit=True)


def _find_modules(file: Path, found: set[Path]) -> None:
    names = set(_imported(ast.parse(file.read_bytes())))
    beside = {name: file.resolve().parent / f"{name}.py" for name in names}
    own = {name for name in names if beside[name].exists()}
    if own != names - sys.stdlib_module_names or own & sys.modules.keys():
        raise ImportError("a module is elsewhere, or stands before the library's")
    for module in {beside[name] for name in own} - found:
        found.add(module)
        _find_modules(module, found)


def _imported(tree: ast.AST) -> Iterator[str]:
    """First words of the modules that a program imports; a relative import is one that cannot be found."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "" if node.level else str(node.module).partition(".")[0]


def run(argv: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Be a program, in a process that was forked for it and has its files and directory already.

    One that needs more gets an interpreter of its own.
    """
    code = 1
    program = _load(argv[1])
    if program is None:
        os.execvpe(argv[0], list(argv), environment)  # noqa: S606
    try:
        _become(argv, environment)
        code = _execute(program)
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - as the interpreter's own end
        atexit._run_exitfuncs()  # noqa: SLF001
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _become(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    """Let nothing tell of the process that this one was forked from."""
    syscalls.rename_process(argv)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environment)
    library = str(Path(os.__file__).parent)
    sys.path[:] = [str(Path(argv[1]).resolve().parent), library, f"{library}/lib-dynload"]
    sys.argv[:] = argv[1:]
    sys.executable = "/usr/bin/python3"
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the program
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115


def _execute(program: CodeType) -> int:
    """Run a program as `__main__`; its exit code."""
    main = ModuleType("__main__")
    main.__file__ = program.co_filename
    sys.modules["__main__"] = main
    try:
        exec(program, main.__dict__)  # noqa: S102
    except SystemExit as ended:
        return _exit_code(ended.code)
    except BaseException as error:  # noqa: BLE001 - as the interpreter does
        own = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
        sys.excepthook(type(error), own, own.__traceback__)
        return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _exit_code(given: Any) -> int:
    if given is None or isinstance(given, int):
        return int(given or 0) & 0xFF
    print(given, file=sys.stderr)  # noqa: T201 - as the interpreter does
    return 1
