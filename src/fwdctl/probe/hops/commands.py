"""Commands that a suggestion consists of, one a line, each to be typed as it stands in the shell in use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwdctl.azure.documents import group_of, place_of, same
from fwdctl.shell import quoted

if TYPE_CHECKING:
    from fwdctl.deployment import Deployment

COMMANDS = ("az ", "azd ", "fwdctl ")
"""How a line begins that can be typed."""
_AGAIN = "Deploy the network again, by the means that made it."


def az(command: str, *words: str, of: object = "") -> str:
    """A command of az, such as `vmss start`; `of` is an id in the subscription that is meant."""
    subscription, _ = place_of(of)
    named = ("--subscription", subscription) if subscription else ()
    return _typed("az", (*command.split(), *words, *named))


def az_in_group_of(resource_id: object, command: str, *words: str) -> str:
    """A command of az about what is in the resource group of something else."""
    return az(command, "-g", group_of(resource_id), *words, of=resource_id)


def in_subscription(suggestion: str, own: str, active: str) -> str:
    """A suggestion whose commands of az mean the right subscription, whichever is active.

    Args:
        suggestion: lines; those of az name a subscription at their end, or mean `own`.
        own: subscription of what was probed.
        active: az's, which needs no word; empty where it is not known.
    """

    def one(line: str) -> str:
        if not line.startswith("az "):
            return line
        command, _, named = line.partition(" --subscription ")
        wanted = named or quoted(own)
        return command if same(wanted, active) else f"{command} --subscription {wanted}"

    return lines(*map(one, suggestion.splitlines()))


def azd(deployment: Deployment, *words: str) -> str:
    return _typed("azd", (*words, *deployment.options))


def fwdctl(deployment: Deployment, *words: str) -> str:
    """A command of fwdctl that means the same deployment as the one that runs."""
    at = words.index("--") if "--" in words else len(words)
    return _typed("fwdctl", (*words[:at], *deployment.options, *words[at:]))


def lines(*commands: str) -> str:
    """Several commands: one a line, since `&&` is not for every shell."""
    return "\n".join(commands)


def provision(deployment: Deployment, *otherwise: str) -> str:
    """Deploy the template again though it has not changed, which azd would else skip: something is missing.

    `otherwise` are commands for a network that azd did not deploy.
    """
    if deployment.by_azd:
        return azd(deployment, "provision", "--no-state")
    return lines(*otherwise) if otherwise else _AGAIN


def bare(suggestion: str, deployment: Deployment) -> str:
    """The one command that a sentence names, without the sentence; else the sentence."""
    named = [text for text in re.findall("`([^`]+)`", suggestion) if f"{text} ".startswith(COMMANDS)]
    if len(named) != 1:
        return suggestion
    if named[0].startswith("azd ") and not deployment.by_azd:
        return _AGAIN
    return str(named[0])


def _typed(program: str, words: tuple[str, ...]) -> str:
    return " ".join([program, *map(quoted, words)])
