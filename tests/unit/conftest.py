"""What several files of tests are given."""

from __future__ import annotations

import asyncio
import inspect
import io
from typing import TYPE_CHECKING

import pytest

from fwdctl.runtime import Runtime
from support.fake_arm import FakeArm, fake_arm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwdlab.arm.api import ArmApi


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def empty_api() -> ArmApi:
    """A control plane with nothing but an empty resource group."""
    from support.controlplane import GROUP, new_api

    made = new_api()
    asyncio.run(made.put(GROUP, {"location": "westeurope"}))
    return made


@pytest.fixture
def api() -> ArmApi:
    """A control plane with the seed's topology."""
    from support.controlplane import GROUP, new_api, seed

    made = new_api()
    asyncio.run(seed(made, GROUP))
    return made


@pytest.fixture
def arm() -> Iterator[FakeArm]:
    with fake_arm() as fake:
        yield fake


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(environ={}, stderr=io.StringIO(), sleep=lambda _: None)
