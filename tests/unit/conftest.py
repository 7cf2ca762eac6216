"""What several files of tests are given."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from fwdctl.runtime import Runtime
from support.fake_arm import FakeArm, fake_arm

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def arm() -> Iterator[FakeArm]:
    with fake_arm() as fake:
        yield fake


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(environ={}, stderr=io.StringIO(), sleep=lambda _: None)
