//! Which addresses a key may be used from.

use core::ffi::c_char;
use core::mem::MaybeUninit;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use keystile::Networks;

use crate::boundary::{fill, guard, guard_or, list, non_null, release, text, transparent_handle};
use crate::error::{Failure, guard_saying, keystile_error};
use crate::status::keystile_status::{self, *};
use crate::text::{array, json_texts, keystile_str, texts};

/// The networks of a key. An empty list allows no address; no list (NULL) does not
/// restrict. Handle; it never changes, and threads may share it.
#[repr(transparent)]
#[derive(Debug)]
pub struct keystile_networks(pub(crate) Networks);

transparent_handle!(keystile_networks, Networks);

/// The text of a network, which ends in NUL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_network_text {
    /// The characters.
    pub text: [c_char; 48],
}

/// The address of a peer. All zero if there is none.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_address {
    /// 4 or 6; 0 if there is none.
    pub family: u32,
    /// In network order: the first 4 bytes for IPv4, all 16 for IPv6.
    pub bytes: [u8; 16],
}

/// Creates a list of networks from texts.
///
/// `items`, `items_len`: up to 64 addresses or CIDR blocks, such as `192.0.2.0/24` and
/// `2001:db8::/32`; 0 items are an empty list.
/// `out_networks`: receives a handle; free it with `keystile_networks_free`.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_NETWORK`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_networks_new(
    items: *const keystile_str,
    items_len: usize,
    out_networks: Option<&mut MaybeUninit<Option<Box<keystile_networks>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_networks = non_null(out_networks)?;
        let networks = Networks::new(texts(list!(items, items_len)?, "allowed_networks")?)?;
        out_networks.write(Some(Box::new(keystile_networks(networks))));
        Ok(())
    })
}

/// Creates a list of networks from a JSON array of strings, such as a column of a
/// table.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_JSON` if the text is not such an array or
/// an item is not a network.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_networks_from_json(
    json: *const c_char,
    json_len: usize,
    out_networks: Option<&mut MaybeUninit<Option<Box<keystile_networks>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_networks = non_null(out_networks)?;
        let items = json_texts(text!(json, json_len)?, "allowed_networks")?;
        let networks = Networks::new(items).map_err(|error| Failure::from(error).in_json())?;
        out_networks.write(Some(Box::new(keystile_networks(networks))));
        Ok(())
    })
}

/// Formats networks as a JSON array of strings, for a column of a table.
///
/// `buffer`, `buffer_len`: receives the text, without a NUL. May be NULL and 0 to ask
/// for the length.
/// `out_needed`: receives the length of the text, also if the buffer is too small.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_BUFFER_TOO_SMALL`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_networks_to_json(
    networks: Option<&keystile_networks>,
    buffer: *mut c_char,
    buffer_len: usize,
    out_needed: Option<&mut MaybeUninit<usize>>,
) -> keystile_status {
    guard(|| {
        let json = serde_json::to_string(&non_null(networks)?.0)?;
        fill!(&json, buffer, buffer_len, out_needed)
    })
}

/// Returns the number of networks; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_networks_count(networks: Option<&keystile_networks>) -> usize {
    guard_or(0, || Some(networks?.0.iter().count()))
}

/// Formats the network at an index as CIDR text.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_networks_at(
    networks: Option<&keystile_networks>,
    index: usize,
    out_text: Option<&mut MaybeUninit<keystile_network_text>>,
) -> keystile_status {
    guard(|| {
        let (networks, out_text) = (&non_null(networks)?.0, non_null(out_text)?);
        let network = networks.iter().nth(index).ok_or(KEYSTILE_ERROR_INDEX)?;
        let text = array(&network.to_string());
        out_text.write(keystile_network_text { text });
        Ok(())
    })
}

/// Checks whether one of the networks contains an address.
///
/// Returns `KEYSTILE_OK` if one does, otherwise `KEYSTILE_DENIED_NETWORK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_networks_contain(
    networks: Option<&keystile_networks>,
    address: Option<&keystile_address>,
) -> keystile_status {
    guard(|| {
        let (networks, address) = (&non_null(networks)?.0, non_null(address)?.core()?);
        let held = address.is_some_and(|address| networks.contains(address));
        held.then_some(()).ok_or(KEYSTILE_DENIED_NETWORK)
    })
}

/// Parses an address, such as `192.0.2.7` or `2001:db8::7`.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_NETWORK`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_address_parse(
    text: *const c_char,
    text_len: usize,
    out_address: Option<&mut MaybeUninit<keystile_address>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_address = non_null(out_address)?;
        let address = text!(text, text_len)?.parse::<IpAddr>();
        let expected = "an address must be an IPv4 or IPv6 address";
        let failure = Failure::new(KEYSTILE_ERROR_NETWORK, expected).in_field("address");
        let address = address.map_err(|_| failure)?;
        out_address.write(keystile_address::of(address));
        Ok(())
    })
}

/// Frees a list of networks; NULL is allowed. Do not free a list that another handle
/// lent.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_networks_free(networks: Option<Box<keystile_networks>>) {
    release(networks);
}

impl keystile_address {
    fn of(address: IpAddr) -> Self {
        let mut bytes = [0; 16];
        let (family, octets) = match &address {
            IpAddr::V4(address) => (4, address.octets().to_vec()),
            IpAddr::V6(address) => (6, address.octets().to_vec()),
        };
        bytes
            .iter_mut()
            .zip(octets)
            .for_each(|(slot, byte)| *slot = byte);
        Self { family, bytes }
    }

    /// The address, if there is one.
    #[inline]
    pub(crate) fn core(&self) -> Result<Option<IpAddr>, keystile_status> {
        let [a, b, c, d, ..] = self.bytes;
        Ok(Some(match self.family {
            0 => return Ok(None),
            4 => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            6 => IpAddr::V6(Ipv6Addr::from(self.bytes)),
            _ => return Err(KEYSTILE_ERROR_VALUE),
        }))
    }
}
