"""The variants service-provider and service-consumer: two machines behind one link service, asked for by alias."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support.programs import Done, RunningLab
from support.variants import Subscription, given, template

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

SOON = ("--timeout", "1", "--retries", "0", "-o", "json")
# An image brings its own SSH server, a machine of the lab has none.
BANNER = """#cloud-config
write_files:
  - path: /etc/systemd/system/banner.service
    content: |
      [Service]
      ExecStart=/usr/bin/python3 /opt/banner.py
  - path: /opt/banner.py
    content: |
      import socket
      server = socket.create_server(("", 22))
      while True:
          client, _ = server.accept()
          with client:
              client.sendall(b"SSH-2.0-lab\\r\\n")
runcmd:
  - [systemctl, start, banner.service]
"""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[RunningLab]:
    folder = tmp_path_factory.mktemp("provider")
    parameters = folder / "provider.parameters.json"
    document = given("service-provider")
    _, ssh = document["parameters"]["services"]["value"]
    ssh["cloudInit"] = BANNER
    parameters.write_text(json.dumps(document))
    options = ("--template", str(template("service-provider")), "--parameters", str(parameters))
    lab = RunningLab.up(folder, f"variant-link-{worker_id}", *options)
    try:
        yield lab
    finally:
        lab.down()


def verdicts(done: Done) -> dict[str, str]:
    return {path["path"]: path["verdict"] for path in done.json["data"]["paths"]}


def test_the_provider_tests_its_own_side(provider: RunningLab) -> None:
    done = provider.fwdctl("probe", "all", *SOON)
    assert [path["warnings"] for path in done.json["data"]["paths"]] == [[]] * 4
    assert verdicts(done) == {
        "hub/web": "pass",
        "hub/web/10.2.0.10:80": "pass",
        "hub/ssh": "pass",
        "hub/ssh/10.2.0.11:22": "pass",
    }


def test_a_machine_that_does_not_serve_is_named(provider: RunningLab) -> None:
    provider.lab("shell", "web", "--", "systemctl", "stop", "fwdctl-server.service")
    try:
        done = provider.fwdctl("probe", "all", *SOON, expect=4)
    finally:
        provider.lab("shell", "web", "--", "systemctl", "start", "fwdctl-server.service")
    (cause,) = done.json["data"]["causes"]
    assert cause["code"] == "TARGET_REFUSED"
    assert sorted(cause["paths"]) == ["hub/web", "hub/web/10.2.0.10:80"]


def test_a_consumer_of_another_tenant_is_pending_until_it_is_approved(provider: RunningLab) -> None:
    consumer = Subscription(provider, "abroad")
    consumer.deploy("service-consumer", LINK_SERVICE_ALIAS=provider.environ["LINK_SERVICE_ALIAS"])
    consumer.fwdctl("jump", "start", "spoke")
    asked = consumer.fwdctl("probe", "spoke", "--port", "80", *SOON, expect=4).json["data"]
    assert [cause["code"] for cause in asked["causes"]] == ["PE_PENDING"]
    assert "CRM of team B" in asked["causes"][0]["evidence"]
    provider.fwdctl("link", "approve", "--match", f"/subscriptions/{consumer.id}/*", "--wait")
    assert verdicts(consumer.fwdctl("probe", "spoke", *SOON)) == {"crm/web": "pass", "crm/ssh": "pass"}


def test_a_load_balancer_that_is_there_gets_a_service_before_it(provider: RunningLab) -> None:
    """Of the same machines, as if somebody else had made them; Azure takes one service for a frontend."""
    first = json.loads(provider.environ["FWD_TOPOLOGY"])["hub"]
    service = provider.arm("GET", provider.environ["LINK_SERVICE_ID"])
    (frontend,) = service["properties"]["loadBalancerFrontendIpConfigurations"]
    (nat,) = service["properties"]["ipConfigurations"]
    for connection in service["properties"]["privateEndpointConnections"]:
        provider.arm("DELETE", connection["id"])
    provider.arm("DELETE", service["id"])
    existing = {
        "frontendId": frontend["id"],
        "frontendAddress": first["loadBalancer"]["address"],
        "natSubnetId": nat["properties"]["subnet"]["id"],
    }
    owner, consumer = Subscription(provider, "first"), Subscription(provider, "second")
    changes = {"existing": existing, "environmentName": "offered"}
    owner.deploy("service-provider", changes, SSH_PUBLIC_KEY="")
    made = provider.arm("GET", f"/subscriptions/{owner.id}/resourceGroups/rg-offered/resources")["value"]
    assert {each["type"].rpartition("/")[2] for each in made} == {"networkInterfaces", "privateLinkServices"}
    alias = owner.environ["LINK_SERVICE_ALIAS"]
    consumer.deploy("service-consumer", LINK_SERVICE_ALIAS=alias)
    owner.fwdctl("link", "approve", "--match", "pep-crm-*")
    assert verdicts(consumer.fwdctl("probe", "spoke", *SOON)) == {"crm/web": "pass", "crm/ssh": "pass"}
    found = verdicts(owner.fwdctl("probe", "hub", "-g", "rg-offered", *SOON))
    assert (found["hub/web"], found["hub/ssh"]) == ("pass", "pass")
