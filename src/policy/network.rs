//! The addresses that a key may be used from.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::error::{Error, ErrorKind};

/// Most networks in a list.
pub const NETWORKS_MAX: usize = 64;

/// Prefix length of `::ffff:0:0/96`, the range in which an IPv6 socket reports IPv4 peers
/// (RFC 4291, 2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// A list of CIDR blocks; a bare address is a block of one.
///
/// IPv4 addresses mapped to IPv6 (`::ffff:192.0.2.1`) are treated as IPv4. An empty list
/// matches nothing; a record without a list is not restricted.
///
/// ```
/// use keystile::Networks;
/// let office = Networks::new(["192.0.2.0/24", "2001:db8::/32"])?;
/// assert!(office.contains("::ffff:192.0.2.7".parse().unwrap()));
/// assert!(!office.contains("198.51.100.1".parse().unwrap()));
/// assert!(Networks::new(["192.0.2.1/24"]).is_err(), "host bits are set");
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Networks(Box<[IpNet]>);

impl Networks {
    /// Creates a list of networks.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] if a text is neither an address nor a CIDR block, if a
    /// block has host bits set, or if there are more than 64 networks.
    pub fn new<I>(networks: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut blocks = Vec::new();
        for text in networks {
            if blocks.len() >= NETWORKS_MAX {
                return Err(
                    Error::new(ErrorKind::Network, "a key must have at most 64 networks")
                        .in_field("allowed_networks"),
                );
            }
            let block = parse(text.as_ref()).ok_or(
                Error::new(
                    ErrorKind::Network,
                    "a network must be an IP address or a CIDR block with no host bits set",
                )
                .in_field("allowed_networks")
                .at(blocks.len()),
            )?;
            blocks.push(block);
        }
        Ok(Self(blocks.into()))
    }

    /// Whether one of the blocks contains the address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|block| block.contains(&address))
    }

    /// The blocks.
    pub fn iter(&self) -> impl Iterator<Item = impl fmt::Display> {
        self.0.iter()
    }

    /// Whether the list is empty and so matches nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether each block of `other` is contained in a single block of this list.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other
            .0
            .iter()
            .all(|wanted| self.0.iter().any(|own| own.contains(wanted)))
    }
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

fn parse(text: &str) -> Option<IpNet> {
    // The standard library parses the address, since it refuses `010`, which some parsers
    // read as 8 and others as 10.
    let block = match text.split_once('/') {
        Some((address, prefix)) => IpNet::new(address.parse().ok()?, length(prefix)?).ok()?,
        None => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    if block.addr() != block.network() {
        return None;
    }
    let IpNet::V6(wide) = block else {
        return Some(block);
    };
    let mapped = Ipv6Addr::new(0, 0, 0, 0, 0, 0xFFFF, 0, 0);
    let Some(v4) = wide.addr().to_ipv4_mapped() else {
        // A block wider than the mapped range would match every IPv4 peer on some sockets
        // and none on others.
        return (!wide.contains(&mapped) || wide.prefix_len() == 0).then_some(block);
    };
    let prefix = wide.prefix_len().checked_sub(MAPPED_BITS)?;
    Ipv4Net::new(v4, prefix).ok().map(IpNet::V4)
}

/// A prefix length, in digits only: no sign, no leading zeros.
fn length(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}
