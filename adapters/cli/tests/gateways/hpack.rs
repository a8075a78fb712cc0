//! As much of HPACK (RFC 7541) as reads the answer of a server that was asked for no dynamic table.

/// The fields of a header block, names and values.
pub(crate) fn fields(mut block: &[u8]) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    while let Some(&first) = block.first() {
        let (bits, is_indexed) = match first {
            128.. => (7, true),
            64.. => (6, false),
            // A new size of the dynamic table, which stays empty.
            32.. => {
                whole(&mut block, 5)?;
                continue;
            }
            _ => (4, false),
        };
        let index = whole(&mut block, bits)?;
        let known = index.checked_sub(1).map(|at| STATIC.get(at));
        let (name, value) = match known {
            None => (text(&mut block)?, None),
            Some(known) => {
                let (name, value) = known?.split_once('|')?;
                (name.to_owned(), Some(value.to_owned()))
            }
        };
        let value = match value.filter(|_| is_indexed) {
            Some(value) => value,
            None => text(&mut block)?,
        };
        fields.push((name, value));
    }
    Some(fields)
}

/// A number whose first bits are the last `bits` of the first byte (section 5.1).
fn whole(block: &mut &[u8], bits: u32) -> Option<usize> {
    let most = (1 << bits) - 1;
    let mut number = usize::from(byte(block)?) & most;
    if number < most {
        return Some(number);
    }
    for shift in [0, 7, 14] {
        let next = byte(block)?;
        number += usize::from(next & 127) << shift;
        if next < 128 {
            return Some(number);
        }
    }
    None
}

fn text(block: &mut &[u8]) -> Option<String> {
    let is_huffman = block.first()? & 128 != 0;
    let length = whole(block, 7)?;
    let (own, rest) = block.split_at_checked(length)?;
    *block = rest;
    let bytes = if is_huffman {
        decode(own)?
    } else {
        own.to_vec()
    };
    Some(bytes.into_iter().map(char::from).collect())
}

fn byte(block: &mut &[u8]) -> Option<u8> {
    let (first, rest) = block.split_first()?;
    *block = rest;
    Some(*first)
}

/// The code is canonical: with the same length, later bytes have higher codes, and longer codes
/// go on where shorter ones end (section 5.2).
fn decode(coded: &[u8]) -> Option<Vec<u8>> {
    let mut order: Vec<u8> = (0..=255).collect();
    order.sort_by_key(|byte| LENGTHS[usize::from(*byte)]);
    let bits = coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let (mut text, mut code, mut length) = (Vec::new(), 0_u32, 0);
    // The first code of this length, and how many codes are shorter.
    let (mut first, mut shorter) = (0_u32, 0);
    for bit in bits {
        let own = LENGTHS.iter().filter(|one| **one == length).count();
        (first, shorter) = ((first + own as u32) << 1, shorter + own);
        (code, length) = (code << 1 | u32::from(bit), length + 1);
        let own = LENGTHS.iter().filter(|one| **one == length).count();
        let at = code.checked_sub(first).map(|at| at as usize);
        if let Some(at) = at.filter(|at| *at < own) {
            text.push(order[shorter + at]);
            (code, length, first, shorter) = (0, 0, 0, 0);
        }
    }
    // Padded with ones.
    (length < 8 && code + 1 == 1 << length).then_some(text)
}

/// Bits of the code of each byte (appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// Names and values (appendix A).
#[rustfmt::skip]
const STATIC: [&str; 61] = [
    ":authority|", ":method|GET", ":method|POST", ":path|/",
    ":path|/index.html", ":scheme|http", ":scheme|https", ":status|200",
    ":status|204", ":status|206", ":status|304", ":status|400",
    ":status|404", ":status|500", "accept-charset|", "accept-encoding|gzip, deflate",
    "accept-language|", "accept-ranges|", "accept|", "access-control-allow-origin|",
    "age|", "allow|", "authorization|", "cache-control|",
    "content-disposition|", "content-encoding|", "content-language|", "content-length|",
    "content-location|", "content-range|", "content-type|", "cookie|",
    "date|", "etag|", "expect|", "expires|",
    "from|", "host|", "if-match|", "if-modified-since|",
    "if-none-match|", "if-range|", "if-unmodified-since|", "last-modified|",
    "link|", "location|", "max-forwards|", "proxy-authenticate|",
    "proxy-authorization|", "range|", "referer|", "refresh|",
    "retry-after|", "server|", "set-cookie|", "strict-transport-security|",
    "transfer-encoding|", "user-agent|", "vary|", "via|",
    "www-authenticate|",
];

#[test]
fn a_block_is_read() {
    // Written by the hpack of Python, with and without the Huffman code.
    for block in [
        "20885f8b1d75d0620d263d4c7441ea4084f2b1e493a31ffc8fffbfffc3ffcfffdffefffcffbffcff1febfafefe7fdfd7dc1fe7febff7ffcd9f75810f",
        "885f106170706c69636174696f6e2f6a736f6e4005782d6f646419617c627e5c5e7b7d3c3e24212728292a2b2c3b3d3f405b5d51750131",
    ] {
        let block: Vec<u8> = (0..block.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&block[at..at + 2], 16).unwrap())
            .collect();
        let read = fields(&block).expect("it is read");
        let values: Vec<&str> = read.iter().map(|(_, value)| value.as_str()).collect();
        let odd = r"a|b~\^{}<>$!'()*+,;=?@[]Q";
        assert_eq!(values, ["200", "application/json", odd, "1"]);
        assert_eq!(read[2].0, "x-odd");
        assert_eq!(fields(&block[..block.len() - 1]), None);
    }
}
