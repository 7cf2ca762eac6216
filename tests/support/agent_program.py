"""The forwarder's agent and the demo server, imported as the machines run them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

CLOUD_INIT = Path(__file__).resolve().parents[2] / "infra" / "cloud-init"


def agent_module(name: str) -> Any:
    """A module of the agent: agent, checks, configuration, flows, health, names, rules or targets."""
    folder = str(CLOUD_INIT / "forwarder")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)


def demo_module() -> Any:
    """The stand-in server."""
    spec = importlib.util.spec_from_file_location("demo_server", CLOUD_INIT / "onprem-server" / "server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
