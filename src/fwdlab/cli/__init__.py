"""Run the same template on this machine, without Azure.

These are the commands of `fwdctl lab`, the only part of the lab that knows fwdctl. The line above is what
`fwdctl --help` shows.
"""

from fwdlab.cli import demo, faults, up, watch
from fwdlab.cli.group import app

__all__ = ["app", "demo", "faults", "up", "watch"]
