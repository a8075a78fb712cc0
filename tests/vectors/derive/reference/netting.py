"""CIDR lists, through the standard library's `ipaddress`."""

import ipaddress
import re

NETWORKS_MAX = 64
MAPPED = ipaddress.ip_network("::ffff:0:0/96")


def network(text):
    """The block, as IPv4 if it is mapped to IPv6, or None."""
    if not re.fullmatch(r"[0-9A-Fa-f:.]+(?:/(?:0|[1-9][0-9]{0,2}))?", text):
        return None
    try:
        block = ipaddress.ip_network(text, strict=True)
    except ValueError:
        return None
    if block.version == 6 and block.overlaps(MAPPED):
        if block.prefixlen >= 96:
            v4 = block.network_address.ipv4_mapped
            return ipaddress.ip_network((v4, block.prefixlen - 96))
        # Wider than the mapped range: on some sockets it would mean every IPv4 peer.
        return block if block.prefixlen == 0 else None
    return block


def are_networks(texts):
    return len(texts) <= NETWORKS_MAX and all(network(text) is not None for text in texts)


def contain(texts, address):
    peer = ipaddress.ip_address(address)
    if peer.version == 6 and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return any(block.version == peer.version and peer in block for block in map(network, texts))
