"""customData, understood."""

from __future__ import annotations

import base64
import gzip
import subprocess

import pytest

from fwdlab.machine.first_boot import CloudInitError, Configuration, parse


def config(text: str | bytes) -> Configuration:
    return parse(base64.b64encode(text.encode() if isinstance(text, str) else text).decode())


def test_files_in_every_encoding() -> None:
    packed = base64.b64encode(gzip.compress(b"text")).decode()
    plain = base64.b64encode(b"text").decode()
    entries = [
        "{path: /a, content: text}",
        f"{{path: /b, content: {plain}, encoding: b64, permissions: '0755'}}",
        f"{{path: /c, content: {packed}, encoding: gzip+base64, append: true, defer: true}}",
        "{path: /d, content: text, permissions: 0600}",
    ]
    files = config("#cloud-config\nwrite_files:\n" + "".join(f"- {e}\n" for e in entries)).files
    assert [file.content for file in files] == [b"text"] * 4
    assert [oct(file.mode) for file in files] == ["0o644", "0o755", "0o644", "0o600"]
    assert [(file.append, file.defer) for file in files] == [
        (False, False),
        (False, False),
        (True, True),
        (False, False),
    ]


def test_commands_make_up_one_script() -> None:
    text = "#cloud-config\nruncmd:\n- cd /\n- [printf, '%s|', a b, \"it's\", $HOME]\n- pwd\n"
    script = config(text).runcmd
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, timeout=5, check=True)
    assert done.stdout == "a b|it's|$HOME|/\n"


def test_unsupported_keys_are_named() -> None:
    warnings = config("#cloud-config\npackages: [a, b]\nssh_authorized_keys: [x]\nnew_thing: 1\n").warnings
    assert warnings == (
        "packages are not installed: a, b",
        "ssh_authorized_keys is not honoured in the lab",
        "new_thing is unknown to the lab's cloud-init",
    )


def test_other_kinds_of_custom_data() -> None:
    assert config("#!/bin/sh\necho x\n").runcmd == "#!/bin/sh\necho x\n"
    assert config(gzip.compress(b"#cloud-config\nbootcmd: [a]\n")).bootcmd == "#!/bin/sh\na\n"
    assert config("") == Configuration()
    assert "Unhandled" in config("hello\n").warnings[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#cloud-config\n{", "not YAML"),
        ("#cloud-config\n- a\n", "no mapping"),
        ("#cloud-config\nruncmd: a\n", "runcmd is not a list"),
        ("#cloud-config\nruncmd: [a, {b: c}]\n", r"runcmd\[1\]"),
        ("#cloud-config\nwrite_files: [{path: etc}]\n", r"write_files\[0\]"),
        ("#cloud-config\nwrite_files: [{path: /a, content: abc, encoding: b64}]\n", r"write_files\[0\] /a"),
        ("#cloud-config\nwrite_files: [{path: /a, encoding: rot13}]\n", "unknown encoding rot13"),
        ("#include\nhttp://x\n", "not supported"),
    ],
)
def test_what_cloud_init_would_refuse(text: str, reason: str) -> None:
    with pytest.raises(CloudInitError, match=reason):
        config(text)


def test_not_base64() -> None:
    with pytest.raises(CloudInitError, match="base64"):
        parse("***")
