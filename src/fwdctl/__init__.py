"""fwdctl: the azd companion for private-link port forwarding to servers outside Azure."""

from __future__ import annotations


def __getattr__(name: str) -> str:
    """`__version__`, found when asked for: reading package metadata takes as long as all the rest."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("fwdctl")
    except PackageNotFoundError:  # an azd hook runs the sources without installing them
        return "0.0.0+source"
