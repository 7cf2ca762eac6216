"""`fwdctl lab`: the same template on this machine. The only part of fwdctl that knows the lab."""

from fwdlab.cli import demo, faults, up, watch
from fwdlab.cli.common import app

__all__ = ["app", "demo", "faults", "up", "watch"]
