"""fwdctl: the azd companion for private-link port forwarding to servers outside Azure."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("fwdctl")
except PackageNotFoundError:  # an azd hook runs the sources without installing them
    __version__ = "0.0.0+source"
