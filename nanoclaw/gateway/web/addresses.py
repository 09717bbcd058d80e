"""The addresses of the public internet. No agent reaches any other, whatever a name resolves to."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_NEVER_4 = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments; older Pythons call some of them global
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv4Network("168.63.129.16/32"),  # the metadata service of Azure, which has a public address
)
_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_NEVER_6 = (
    IPv6Network("2001::/23"),  # protocol assignments, among them Teredo
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),  # 6to4
    IPv6Network("3fff::/20"),  # documentation
)
_ISATAP = (0x00005EFE, 0x02005EFE)

_PRIVATE_DOMAINS = ("localhost", "local", "internal", "home.arpa")


def is_private_name(host: str) -> bool:
    """Return True for a name that can only be one of a private network, so that nobody is asked about it."""
    return "." not in host or any(host.endswith(f".{domain}") for domain in _PRIVATE_DOMAINS)


def is_never_reached(host: str) -> bool:
    """Return True for a name or an address that no rule opens, whatever a lookup says."""
    try:
        ip_address(host)
    except ValueError:
        return is_private_name(host)
    return not is_public(host)


def is_public(text: str) -> bool:
    """Return True for an address of one host on the public internet.

    An IPv6 address that carries an IPv4 address is judged by that one, too.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return _public_4(address) if isinstance(address, IPv4Address) else _public_6(address)


def _public_4(address: IPv4Address) -> bool:
    special = address.is_multicast or address.is_reserved or any(address in net for net in _NEVER_4)
    return address.is_global and not special


def _public_6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return _public_4(address.ipv4_mapped)
    number = int(address)
    last = IPv4Address(number & 0xFFFFFFFF)
    if address in _NAT64:
        return _public_4(last)
    if number >> 32 & 0xFFFFFFFF in _ISATAP and not _public_4(last):
        return False
    special = address.is_multicast or any(address in net for net in _NEVER_6)
    return address in _UNICAST and address.is_global and not special
