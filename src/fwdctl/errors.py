"""The one error type of fwdctl and the exit codes it maps to."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell sees, the same for every output format."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_FOUND = 3
    """Not found, not provisioned, not logged in."""
    BROKEN = 4
    """Tested, and a path is broken."""
    INCONCLUSIVE = 5
    """Could not be tested: timed out, cut off, no answer."""
    NOT_RUN = 125
    """`jump exec` only: the remote command could not be run."""
    INTERRUPTED = 130


class FwdctlError(Exception):
    """A failure that a user can read.

    Args:
        code: constant in snake_case, part of the JSON contract.
        message: what is wrong and where, one line.
        suggestion: what to do about it, one line; empty when nothing can be advised.
        exit_code: in the place of the class's own.
    """

    exit_code = ExitCode.UNEXPECTED

    def __init__(
        self, code: str, message: str, suggestion: str = "", *, exit_code: ExitCode | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.suggestion = suggestion
        self.exit_code = self.exit_code if exit_code is None else exit_code


class UsageError(FwdctlError):
    """What was typed or written cannot be meant."""

    exit_code = ExitCode.USAGE


class MissingError(FwdctlError):
    """Something is not there: a resource, an environment, a login."""

    exit_code = ExitCode.NOT_FOUND


class InconclusiveError(FwdctlError):
    """It could not be found out, or not in time."""

    exit_code = ExitCode.INCONCLUSIVE


class StoppedError(Exception):
    """Work was given up because of Ctrl-C; nothing has failed, so that no handler of failures sees it."""
