"""Ask before something is done that cannot be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwdctl.errors import FwdctlError, UsageError
from fwdctl.output import tell

if TYPE_CHECKING:
    from fwdctl.runtime import Runtime


def confirm(runtime: Runtime, question: str, done: str, without: str) -> None:
    """Ask a question that is to be answered with yes.

    `done` is what will have been done, in a word; `without`, how to do it where nobody can be asked.

    Raises:
        FwdctlError: nobody can be asked (exit code 2), or the answer is no (1).
    """
    if not runtime.may_prompt:
        text = f"Nothing was {done}: nobody can be asked here."
        raise UsageError("confirmation_needed", text, without)
    tell(runtime, f"{question} [y/N] ")
    if runtime.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise FwdctlError("not_confirmed", f"Nothing was {done}.")
