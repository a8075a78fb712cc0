//! SHA-256 of a text that lies there whole, with padding of our own.
//!
//! The compression is sha2's. `sha2::Sha256` takes a text in pieces, so it pads when all
//! blocks before are done, and then the processor waits for what was just written. Padded
//! first, a key takes 0.7 times as long.

use sha2::block_api::compress256;

/// Bytes that are written and read as one: pieces of other sizes would have to wait for each
/// other.
const PIECE_BYTES: usize = 16;
/// Pieces of two blocks.
const PIECES: usize = 8;

/// SHA-256 (FIPS 180-4) of a text.
pub(crate) fn sha256(text: &[u8]) -> [u8; 32] {
    // A text that ends within two blocks, as a key does, is compressed in one go.
    let (blocks, rest) = match text.len() {
        ..120 => (Default::default(), text),
        _ => text.as_chunks::<64>(),
    };
    // What is left, a mark, zeros, and the length in bits; it takes a second block where the
    // first has no room for the last 8 bytes.
    let mut padding = [[0; PIECE_BYTES]; PIECES];
    let (pieces, tail) = rest.as_chunks::<PIECE_BYTES>();
    for (place, piece) in padding.iter_mut().zip(pieces) {
        *place = *piece;
    }
    if let Some(place) = padding.get_mut(pieces.len()) {
        *place = marked(text, tail).to_le_bytes();
    }
    let whole = rest.len() / 64;
    let needed = whole.saturating_add(if rest.len() % 64 < 56 { 1 } else { 2 });
    let padded = padding.as_flattened_mut().as_chunks_mut::<64>().0;
    let padded = padded.get_mut(..needed).unwrap_or_default();
    if let Some(place) = padded.as_flattened_mut().last_chunk_mut() {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        *place = length.saturating_mul(8).to_be_bytes();
    }

    let mut state = SHA256_START;
    if !blocks.is_empty() {
        compress256(&mut state, blocks);
    }
    compress256(&mut state, padded);
    let mut digest = [0; 32];
    let words = digest.as_chunks_mut().0.iter_mut().zip(state);
    words.for_each(|(bytes, word)| *bytes = word.to_be_bytes());
    digest
}

/// The last bytes of a text, which are less than a piece, and the mark behind them.
fn marked(text: &[u8], tail: &[u8]) -> u128 {
    let bits = |bytes: usize| u32::try_from(bytes.saturating_mul(8)).unwrap_or(u32::MAX);
    let tail_bits = bits(tail.len());
    let bytes = match text.last_chunk() {
        // The last piece of the text, without what belongs to the one before.
        Some(last) => {
            let before = bits(PIECE_BYTES.saturating_sub(tail.len()));
            u128::from_le_bytes(*last).checked_shr(before).unwrap_or(0)
        }
        None => tail
            .iter()
            .rev()
            .fold(0, |bytes, byte| bytes << 8 | u128::from(*byte)),
    };
    bytes | 0x80 << tail_bits
}

/// FIPS 180-4, section 5.3.3.
const SHA256_START: [u32; 8] = [
    0x6A09_E667,
    0xBB67_AE85,
    0x3C6E_F372,
    0xA54F_F53A,
    0x510E_527F,
    0x9B05_688C,
    0x1F83_D9AB,
    0x5BE0_CD19,
];

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn it_is_that_of_sha2_for_each_length() {
        let text: Vec<u8> = (0..1_000u16).flat_map(u16::to_be_bytes).collect();
        for length in 0..=1_000usize {
            let text = text.get(length..length.saturating_mul(2)).unwrap();
            assert_eq!(sha256(text)[..], Sha256::digest(text)[..], "{length} bytes");
        }
    }

    #[test]
    fn it_is_that_of_the_standard() {
        // FIPS 180-2, appendix B.1 and B.2.
        for (text, hex) in [
            (
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ] {
            let digest = sha256(text.as_bytes());
            let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digits, hex);
        }
    }
}
