"""`fwdctl lab`: the same template on this machine. The only part of fwdctl that knows the lab."""

from fwdctl.cli.lab import demo, faults, up, watch
from fwdctl.cli.lab.common import app

__all__ = ["app", "demo", "faults", "up", "watch"]
