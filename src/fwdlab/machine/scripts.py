"""Programs that a machine finds in place of systemd's."""

from __future__ import annotations

import sys
from pathlib import Path

SOCKET = "/run/fwdlab/systemctl"
LOGS = "/var/log/fwdlab"


def programs() -> dict[str, str]:
    """Scripts that a machine gets: `systemctl` and `journalctl`."""
    python = str(Path(sys.executable).resolve())
    client = (
        "import json,socket,sys\n"
        "s=socket.socket(socket.AF_UNIX)\n"
        f"s.connect({SOCKET!r})\n"
        "s.sendall(json.dumps(sys.argv[1:]).encode()+b'\\n')\n"
        "a=json.loads(s.makefile().readline())\n"
        "sys.stdout.write(a['out']);sys.stderr.write(a['err']);sys.exit(a['code'])\n"
    )
    return {
        "/usr/local/lib/fwdlab/systemctl.py": client,
        "/usr/local/sbin/systemctl": (
            f'#!/bin/sh\nexec "{python}" -I -S /usr/local/lib/fwdlab/systemctl.py "$@"\n'
        ),
        "/usr/local/bin/journalctl": (
            "#!/bin/sh\n# journalctl of the lab: -u UNIT [-n LINES]\nunit= lines=+1\n"
            'while [ $# -gt 0 ]; do case "$1" in\n'
            "-u|--unit) unit=$2; shift;; --unit=*) unit=${1#*=};; -u*) unit=${1#-u};;\n"
            "-n|--lines) lines=$2; shift;;\n"
            '-n*) lines=${1#-n};; -f) lines="$lines -f";; esac; shift; done\n'
            'case "$unit" in *.service) ;; *) unit=$unit.service;; esac\n'
            f'exec tail -n $lines "{LOGS}/$unit.log"\n'
        ),
    }
