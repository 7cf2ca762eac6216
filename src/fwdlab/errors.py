"""Failures of the lab itself (not of the ARM interface, see arm/errors.py)."""

from __future__ import annotations


class LabError(Exception):
    """A failure that a user can read: constant code, message and suggestion as whole sentences."""

    def __init__(self, code: str, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.suggestion = suggestion
