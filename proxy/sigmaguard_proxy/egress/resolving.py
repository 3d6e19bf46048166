"""Names to addresses that an agent may reach. Resolves once, and the connection goes to what was checked.

A name may not lead to a loopback, private, link-local or otherwise special address in any of its spellings;
a second look-up, which could answer differently (DNS rebinding), never happens: the connector is given the
addresses, while `Host` and SNI keep the name. CWE-918.
"""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp.abc import AbstractResolver, ResolveResult

from sigmaguard_proxy.egress.settings import Network

_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits
_SPECIAL = tuple(ip_network(one) for one in ("64:ff9b:1::/48", "2001:db8::/32", "192.88.99.0/24", "100.64.0.0/10"))


class AddressRefusedError(OSError):
    """A name leads to an address that is not allowed. An OSError, so that the connector passes it on."""


def allowed_address(text: str, networks: Sequence[Network] = ()) -> bool:
    """Whether an address is public, or in one of the networks a tool may reach."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    inner = _inside(address)
    if any(one in network for network in networks for one in (address, inner) if one.version == network.version):
        return True
    return _is_public(address) and _is_public(inner)


def _inside(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for; itself where it stands for none."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    if isinstance(address, IPv6Address) and (address.ipv4_mapped or address in _NAT64):
        special = address.is_multicast  # mapped addresses count as reserved; what they stand for is checked itself
        return not special
    return (
        address.is_global
        and not special
        and not any(address.version == one.version and address in one for one in _SPECIAL)
    )


class SafeResolver(AbstractResolver):
    """Resolves a name to the addresses it may be reached at; refuses it where any is not allowed."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = networks

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses. Raises AddressRefusedError, or OSError where there are none."""
        infos = await self.look_up(host, port, family)
        found: list[ResolveResult] = []
        for one_family, address in infos:
            if not allowed_address(address, self._networks):
                # one private address among public ones is what rebinding looks like: the name is not to be trusted
                raise AddressRefusedError(f"`{host}` leads to an address that tools may not reach")
            found.append(
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=one_family,
                    proto=0,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        return found

    async def look_up(self, host: str, port: int, family: int) -> list[tuple[int, str]]:
        """Family and address of everything the system's resolver says."""
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        return [(info[0], str(info[4][0])) for info in infos]

    async def close(self) -> None:
        """Nothing is kept."""
