"""The addresses that the proxy of the web may connect to."""

import pytest

from nanoclaw.gateway.web.addresses import is_private_name, is_public
from nanoclaw.gateway.web.internet import PublicInternet

PUBLIC = [
    "93.184.216.34",
    "8.8.8.8",
    "1.1.1.1",
    "2606:4700::1111",
    "2001:4860:4860::8888",
    "64:ff9b::808:808",
]
PUBLIC += ["::ffff:8.8.8.8"]
NOT_PUBLIC = {
    "this network": ["0.0.0.0", "0.1.2.3", "::"],  # noqa: S104 -- nothing is bound
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1"],
    "link-local": ["169.254.0.1", "fe80::1", "fe80::1%eth0", "fec0::1"],
    "metadata": ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"],
    "carrier-grade NAT": ["100.64.0.1", "100.127.255.254"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "broadcast and reserved": ["255.255.255.255", "240.0.0.1", "192.0.0.8", "198.18.0.1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "IPv4 inside": [
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::8.8.8.8"),
        *(
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808:808",
            "2002:7f00:1::",
            "2002:808:808::1",
        ),
        *("2001:0:7f00:1::1", "2606:4700::5efe:127.0.0.1", "2606:4700::200:5efe:10.0.0.1", "192.88.99.1"),
    ],
    "no address": ["", "localhost", "127.1", "0x7f000001", "2130706433", "1.2.3.4.5", "8.8.8.8 "],
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", [each for addresses in NOT_PUBLIC.values() for each in addresses])
def test_others_are_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("name", ["localhost", "db", "a.localhost", "metadata.google.internal", "nas.local"])
def test_names_of_private_networks_are_known_without_a_resolver(name: str) -> None:
    assert is_private_name(name)
    assert not is_private_name(f"{name}.example.org")


async def test_the_machine_knows_its_own_addresses() -> None:
    internet = PublicInternet()
    assert (internet.is_own("127.0.0.1"), internet.is_own("192.0.2.7")) == (True, False)


async def test_the_system_s_resolver_is_asked_in_a_thread() -> None:
    assert "127.0.0.1" in await PublicInternet().resolve("localhost")
