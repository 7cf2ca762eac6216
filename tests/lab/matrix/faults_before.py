"""What can be wrong up to the link service: box, name, private endpoint."""

from __future__ import annotations

from fwdctl.probe.hops import endpoint, name
from lab.matrix.fault import ANEW, DNS, ENDPOINT, RECORD, SPOKE_GROUP, Fault, deny

BOX = (
    Fault(
        "the spoke's box does not exist",
        ("az container delete -g $RG -n ci-app-$TOKEN -y",),
        "JUMP_MISSING",
        exit_code=5,
    ),
    Fault(
        "boxes do not start",
        ("fwdctl lab break jump-start-fails",),
        "JUMP_START_FAILED",
        exit_code=5,
        instead="quota is given by Azure",
    ),
    Fault(
        "exec is answered with an error",
        ("fwdctl lab break exec-refused",),
        "arm_unavailable",
        exit_code=5,
        instead="it is Azure's own error",
    ),
    Fault(
        "the exec socket breaks",
        ("fwdctl lab break exec-cut",),
        exit_code=5,
        instead="it is Azure's own error",
    ),
    Fault(
        "only reading is allowed",
        ("fwdctl lab break arm-forbidden",),
        "not_authorized",
        exit_code=3,
        instead="an owner assigns roles",
    ),
)
NAME = (
    Fault("no A record", ("fwdctl lab break dns-record-missing",), "DNS_NXDOMAIN", name.broken),
    Fault(
        "another address in the record",
        ("fwdctl lab break dns-wrong-address",),
        "DNS_WRONG_ADDRESS",
        name.broken,
    ),
    Fault(
        "the zone is not linked", ("fwdctl lab break zone-not-linked",), "DNS_ZONE_NOT_LINKED", name.broken
    ),
    Fault(
        "an alias in the record's place",
        (
            f"{DNS} record-set a delete {RECORD} -y",
            f"{DNS} record-set cname set-record {RECORD} -c old.fwdctl.internal",
        ),
        "DNS_WRONG_ADDRESS",
        name.broken,
        says="record 'onprem-server' in zone fwdctl.internal is an alias (CNAME) of old.fwdctl.internal; "
        "the endpoint is 10.1.17.4; what lies behind the name was not tested",
    ),
    Fault(
        "more than one address of either kind",
        (
            f"{DNS} record-set a add-record {RECORD} -a 10.1.17.9",
            f"{DNS} record-set aaaa add-record {RECORD} -a fd00::4",
        ),
        "DNS_WRONG_ADDRESS",
        name.broken,
        says="holds 10.1.17.4, 10.1.17.9, fd00::4; the endpoint is 10.1.17.4",
    ),
    Fault(
        "a more specific zone",
        (
            f"{DNS} zone create -g $RG -n onprem-server.fwdctl.internal",
            f"{DNS} link vnet create -g $RG -z onprem-server.fwdctl.internal -n more -v vnet-app-$TOKEN -e false",
        ),
        "DNS_NXDOMAIN",
        name.broken,
        says="zone onprem-server.fwdctl.internal (which answers in the place of fwdctl.internal",
    ),
    Fault(
        "no zone",
        (
            f"{DNS} link vnet delete -g $RG -z fwdctl.internal -n vnet-app-$TOKEN -y",
            f"{DNS} zone delete -g $RG -n fwdctl.internal -y",
        ),
        "DNS_NXDOMAIN",
        name.broken,
        says="there is no private DNS zone fwdctl.internal",
    ),
    Fault(
        "DNS servers of one's own",
        ("az network vnet update -g $RG -n vnet-app-$TOKEN --dns-servers 10.1.0.9",),
        "DNS_CUSTOM_SERVERS",
        name.broken,
        says="asks DNS servers of its own (10.1.0.9)",
        instead="these servers have to forward the zone",
    ),
    Fault(
        "an old answer in the box",
        (
            "fwdctl jump start spoke",
            "fwdctl lab shell ci-app-$TOKEN -- sh -c 'echo 10.1.17.99 onprem-server.fwdctl.internal >>/etc/hosts'",
        ),
        "DNS_WRONG_ADDRESS",
        name.broken,
        says="another resolver or a cached answer",
        instead="it shows what the box asks",
        undo=("fwdctl jump stop spoke",),
    ),
    Fault(
        "a rule against the platform's DNS",
        (
            deny(
                SPOKE_GROUP,
                "no-dns",
                200,
                "--direction Outbound --destination-address-prefixes AzurePlatformDNS --destination-port-ranges '*'",
            ),
        ),
        "NSG_DENIED",
        name.broken,
        says="outbound rule no-dns of network security group nsg-vnet-app-",
        is_slow=True,
    ),
)
PRIVATE_ENDPOINT = (
    Fault(
        "no endpoint",
        (f"az network private-endpoint delete {ENDPOINT}",),
        "PE_MISSING",
        endpoint.missing,
        says="does not exist",
    ),
    Fault(
        "the connection waits for approval", ("fwdctl lab break link-pending",), "PE_PENDING", endpoint.broken
    ),
    Fault("the connection is rejected", ("fwdctl lab break link-rejected",), "PE_REJECTED", endpoint.broken),
    Fault(
        "the connection is removed",
        ("az network private-endpoint-connection delete --id $CONNECTION -y",),
        "PE_DISCONNECTED",
        endpoint.broken,
    ),
    Fault(
        "the endpoint was made anew",
        (
            f"az network private-endpoint delete {ENDPOINT}",
            f"az network private-endpoint create {ENDPOINT} {ANEW}",
        ),
        "DNS_WRONG_ADDRESS",
        name.broken,
        also=("ENV_STALE",),
        says="holds 10.1.17.4; the endpoint is 10.1.17.23",
        is_slow=True,
    ),
)
