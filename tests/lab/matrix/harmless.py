"""What only looks odd: a probe must not call it broken."""

from __future__ import annotations

from lab.matrix.fault import DNS, OWN_AGAIN, PROBE, RECORD, RULE, harmless, table

HARMLESS = (
    harmless("a box starts slowly", "fwdctl lab break jump-slow"),
    harmless("the exec socket begins with nothing", "fwdctl lab break exec-empty-first-message"),
    harmless("Azure throttles", "fwdctl lab break arm-throttled"),
    harmless("Azure fails at times", "fwdctl lab break arm-5xx"),
    harmless("tokens have expired", "fwdctl lab break token-expired"),
    harmless("deployments are slow", "fwdctl lab break resources-slow"),
    harmless("writes take a while", "fwdctl lab break writes-slow"),
    harmless("idle connections are forgotten soon", "fwdctl lab break idle-short"),
    harmless("a newer image exists", "fwdctl lab break newer-image"),
    harmless("Azure is slow", "fwdctl lab break arm-slow"),
    harmless(
        "several NAT addresses",
        *(
            "az resource update --ids $SERVICE --add properties.ipConfigurations "
            f'\'{{"name":"nat{number}","properties":{{"subnet":{{"id":"$SHARED"}}}}}}\''
            for number in (2, 3)
        ),
        is_slow=True,
    ),
    harmless("answers that last for a day", f"{DNS} record-set a update {RECORD} --set ttl=86400"),
    harmless(
        "a spoke without a box",
        "az container delete -g $RG -n ci-app-$TOKEN -y",
        probe=("all", "-g", "$RG"),
    ),
    harmless("an instance is set up anew", "az vmss reimage -g $RG -n vmss-$TOKEN --instance-ids $INSTANCE"),
    harmless(
        "an instance is drained",
        "fwdctl jump start hub",
        'az vmss update -g $RG -n vmss-$TOKEN --user-data "$DRAINED"',
        "az vmss update-instances -g $RG -n vmss-$TOKEN --instance-ids $INSTANCE",
        'az vmss update -g $RG -n vmss-$TOKEN --user-data "$OWN"',
        code="FWD_UNHEALTHY",
        says="is drained",
        undo=(OWN_AGAIN,),
        is_slow=True,
    ),
    harmless("a health probe of another port", f"{PROBE} --port 18100", is_slow=True),
    harmless(
        "somebody flushes the forwarders' rules",
        "fwdctl lab shell $NODE -- iptables -w -t nat -F",
    ),
    harmless(
        "somebody turns forwarding off",
        "fwdctl lab shell $NODE -- sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward'",
    ),
    harmless("a rule without a health probe", f"{RULE} --set probe=null"),
    harmless(
        "a default route to a firewall",
        *table(
            "hub",
            "shared",
            "--address-prefix 0.0.0.0/0 --next-hop-type VirtualAppliance --next-hop-ip-address 10.0.1.62",
        ),
        is_slow=True,
    ),
)
