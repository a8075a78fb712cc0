"""Networks: which addresses a list of CIDR blocks contains."""

from reference import netting
from topic import Topic, claim

NETWORKS = Topic(
    "networks.json",
    "A list of networks and a peer's address, and whether the list contains it; "
    "or the kind of error if a text in the list is not a network.",
)
TOPICS = [NETWORKS]


def add(short, why, networks, address, outcome, attack=None):
    """The outcome is True, False or "error"."""
    name = f"network-{short}"
    legal = netting.are_networks(networks)
    computed = netting.contain(networks, address) if legal else "error"
    claim(name, outcome, computed)
    expected = {"contained": computed, "error": None} if legal else {"contained": None, "error": "network"}
    NETWORKS.add(name, why, expected, attack, networks=networks, address=address)


V4, V6 = ["192.0.2.0/24"], ["2001:db8::/32"]
add("v4-inside", "an address of the block", V4, "192.0.2.7", True)
add("v4-first", "its first address", V4, "192.0.2.0", True)
add("v4-last", "its last address", V4, "192.0.2.255", True)
add("v4-before", "the address before it", V4, "192.0.1.255", False)
add("v4-after", "the address after it", V4, "192.0.3.0", False)
add("v4-other", "an address from elsewhere", V4, "198.51.100.1", False)
add("v4-bare", "a bare address is a block of one", ["192.0.2.7"], "192.0.2.7", True)
add("v4-bare-neighbour", "a bare address is a block of one", ["192.0.2.7"], "192.0.2.8", False)
add("v4-thirty-two", "a block of one address, written as a block", ["192.0.2.7/32"], "192.0.2.7", True)
add("v4-thirty-one", "a block of two", ["192.0.2.6/31"], "192.0.2.7", True)
add("v4-odd-prefix", "a prefix that ends inside a byte", ["192.0.2.128/25"], "192.0.2.127", False)
add("v4-twelve", "a prefix that ends inside a byte", ["172.16.0.0/12"], "172.31.255.255", True)
add("v4-twelve-after", "the address after it", ["172.16.0.0/12"], "172.32.0.0", False)
add("v4-all", "a block of all IPv4 addresses", ["0.0.0.0/0"], "203.0.113.9", True)
add("v4-all-not-v6", "all of IPv4 holds no IPv6 address", ["0.0.0.0/0"], "2001:db8::1", False)
add("v6-inside", "an address of the block", V6, "2001:db8:1::7", True)
add("v6-last", "its last address", V6, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", True)
add("v6-after", "the address after it", V6, "2001:db9::", False)
add("v6-bare", "a bare address is a block of one", ["2001:db8::7"], "2001:db8::7", True)
add("v6-spelled-otherwise", "an address has many spellings", ["2001:DB8:0:0:0:0:0:7"], "2001:db8::7", True)
add("v6-sixty-four", "a subscriber's block", ["2001:db8:0:1::/64"], "2001:db8:0:1:ffff::1", True, "I10")
add("v6-sixty-four-other", "the next subscriber's", ["2001:db8:0:1::/64"], "2001:db8:0:2::1", False, "I10")
add("v6-all", "a block of all IPv6 addresses", ["::/0"], "2001:db8::1", True)
add("v6-all-not-v4", "all of IPv6 holds no IPv4 address", ["::/0"], "192.0.2.7", False)
add("v6-all-not-mapped", "nor IPv4 mapped to IPv6", ["::/0"], "::ffff:192.0.2.7", False, "I10")
add("mapped-peer", "an IPv6 socket shows IPv4 peers so", V4, "::ffff:192.0.2.7", True, "I10")
add("mapped-peer-hex", "the same in hex", V4, "::ffff:c000:207", True, "I10")
add("mapped-peer-long", "the same, written out", V4, "0:0:0:0:0:ffff:c000:0207", True, "I10")
add("mapped-peer-outside", "and it is treated as IPv4", V4, "::ffff:198.51.100.1", False, "I10")
add("mapped-rule", "a rule may be written so too", ["::ffff:192.0.2.0/120"], "192.0.2.7", True, "I10")
add("mapped-rule-outside", "its prefix is that of IPv4 and 96", ["::ffff:192.0.2.0/120"], "192.0.3.7", False, "I10")
add("mapped-rule-bare", "a bare one too", ["::ffff:192.0.2.7"], "192.0.2.7", True, "I10")
add("mapped-rule-mapped-peer", "both mapped to IPv6", ["::ffff:192.0.2.0/120"], "::ffff:192.0.2.7", True, "I10")
add("mapped-rule-all", "a block of all IPv4 addresses", ["::ffff:0:0/96"], "203.0.113.9", True, "I10")
add("compatible-peer", "::192.0.2.7 is IPv6, not IPv4", V4, "::192.0.2.7", False, "I10")
add("translated-peer", "64:ff9b:: is IPv6, not IPv4", V4, "64:ff9b::c000:207", False, "I10")
add("loopback-v4", "the loop-back of IPv4", ["127.0.0.0/8"], "127.1.2.3", True)
add("loopback-v6-is-not-v4", "the loop-back of IPv6 is another", ["127.0.0.0/8"], "::1", False)
add("loopback-mapped", "and of IPv4 mapped to IPv6", ["127.0.0.0/8"], "::ffff:127.0.0.1", True, "I10")
add("two-blocks", "any one of the list", ["192.0.2.0/24", "2001:db8::/32"], "2001:db8::1", True)
add("neither-block", "none of the list", ["192.0.2.0/24", "2001:db8::/32"], "198.51.100.1", False)
add("empty-list", "an empty list holds nothing", [], "192.0.2.7", False, "J5")
add("overlapping", "blocks may overlap", ["10.0.0.0/8", "10.1.0.0/16"], "10.2.0.1", True)
add("sixty-four-blocks", "64 networks, the most", [f"10.0.{n}.0/24" for n in range(64)], "10.0.63.9", True)

ILLEGAL = [
    ("host-bits", "host bits are set: an address or a block?", ["192.0.2.1/24"], None),
    ("host-bits-v6", "host bits are set", ["2001:db8::1/32"], None),
    ("mapped-host-bits", "host bits are set", ["::ffff:192.0.2.1/120"], None),
    ("prefix-33", "IPv4 has 32 bits", ["192.0.2.0/33"], None),
    ("prefix-129", "IPv6 has 128", ["2001:db8::/129"], None),
    ("prefix-negative", "a prefix is no negative number", ["192.0.2.0/-1"], None),
    ("prefix-empty", "a prefix is a number", ["192.0.2.0/"], None),
    ("prefix-word", "a prefix is a number", ["192.0.2.0/x"], None),
    ("prefix-plus", "a prefix has no sign", ["192.0.2.0/+24"], None),
    ("prefix-leading-zero", "010 is 8 to some and 10 to others", ["10.0.0.0/010"], "I10"),
    ("prefix-arabic-digit", "digits are ASCII", ["10.0.0.0/\u0668"], None),
    ("netmask", "a mask is another notation", ["192.0.2.0/255.255.255.0"], None),
    ("two-prefixes", "a block has one prefix", ["192.0.2.0/24/24"], None),
    ("wider-than-mapped", "it would take in every IPv4 peer on some sockets and none on others", ["::/64"], "I10"),
    ("wider-than-mapped-by-one", "one bit wider than the mapped range", ["::fffe:0:0/95"], "I10"),
    ("three-parts", "an address has four parts", ["192.0.2"], None),
    ("three-parts-prefix", "an address has four parts", ["192.0.2/24"], None),
    ("number", "an address as one number", ["3221225991"], None),
    ("hexadecimal", "an address in hex", ["0xc0000207"], None),
    ("octal-looking", "010 is 8 to some and 10 to others", ["192.0.2.010"], "I10"),
    ("octal-looking-block", "010 is 8 to some and 10 to others", ["010.0.0.0/8"], "I10"),
    ("part-256", "a part is a byte", ["192.0.2.256"], None),
    ("leading-space", "white space is not cut off", [" 192.0.2.0/24"], None),
    ("trailing-space", "white space is not cut off", ["192.0.2.0/24 "], None),
    ("zone", "a zone has a meaning only on one machine", ["fe80::1%eth0"], None),
    ("brackets", "brackets belong to URLs", ["[2001:db8::1]"], None),
    ("port", "an address has no port", ["192.0.2.7:80"], None),
    ("range", "a range is another notation", ["192.0.2.1-192.0.2.9"], None),
    ("star", "there is no wildcard", ["192.0.2.*"], None),
    ("any", "there is no word for everything", ["any"], "J5"),
    ("name", "a name would need a lookup", ["localhost"], None),
    ("empty", "an empty text is no network", [""], "J5"),
    ("two-in-one", "one text is one network", ["192.0.2.0/24,198.51.100.0/24"], None),
    ("two-compressions", "an address has one ::", ["2001::db8::/32"], None),
    ("second-wrong", "one wrong network spoils the list", ["192.0.2.0/24", "x"], "J4"),
    ("sixty-five", "65 networks, one more than the most", [f"10.0.{n}.0/24" for n in range(65)], "J12"),
]
for short, why, networks, attack in ILLEGAL:
    add(f"illegal-{short}", why, networks, "192.0.2.7", "error", attack)
