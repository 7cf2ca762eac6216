"""Runs `fwdctl hook postdown` from the sources; azd has installed requirements.txt before."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from fwdctl.main import main

sys.exit(main(["hook", "postdown"]))
