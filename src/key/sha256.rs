//! SHA-256 of a text that is complete in memory, padded before it is compressed.
//!
//! The compression function is sha2's. `sha2::Sha256` accepts a text in pieces, so it can
//! pad only at the end, and stalls on store forwarding (see ARCHITECTURE.md). With the
//! padding first, hashing a key takes 0.7 times as long.

use sha2::block_api::compress256;

/// Bytes in one piece of a block.
// store-forwarding stall: written in pieces as large as those read (see ARCHITECTURE.md)
const PIECE_BYTES: usize = 16;
/// Number of pieces in two blocks.
const PIECES: usize = 8;

/// SHA-256 (FIPS 180-4) of a text.
pub(crate) fn sha256(text: &[u8]) -> [u8; 32] {
    // A text that ends within two blocks, as a key does, is compressed in one call.
    let (blocks, rest) = match text.len() {
        ..120 => (Default::default(), text),
        _ => text.as_chunks::<64>(),
    };
    // The rest of the text, the end mark, zeros and the length in bits. It takes a second
    // block if the first has no room for the 8 bytes of the length.
    let mut padding = [[0; PIECE_BYTES]; PIECES];
    let (pieces, tail) = rest.as_chunks::<PIECE_BYTES>();
    for (slot, piece) in padding.iter_mut().zip(pieces) {
        *slot = *piece;
    }
    if let Some(slot) = padding.get_mut(pieces.len()) {
        *slot = marked(text, tail).to_le_bytes();
    }
    let whole = rest.len() / 64;
    let needed = whole.saturating_add(if rest.len() % 64 < 56 { 1 } else { 2 });
    let padded = padding.as_flattened_mut().as_chunks_mut::<64>().0;
    let padded = padded.get_mut(..needed).unwrap_or_default();
    if let Some(slot) = padded.as_flattened_mut().last_chunk_mut() {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        *slot = length.saturating_mul(8).to_be_bytes();
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

/// The last bytes of a text, fewer than a piece, followed by the end mark.
fn marked(text: &[u8], tail: &[u8]) -> u128 {
    let bits = |bytes: usize| u32::try_from(bytes.saturating_mul(8)).unwrap_or(u32::MAX);
    let tail_bits = bits(tail.len());
    let bytes = match text.last_chunk() {
        // The last piece of the text, without the bytes that belong to the piece before
        // it.
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
    fn it_agrees_with_sha2_for_each_length() {
        let text: Vec<u8> = (0..1_000u16).flat_map(u16::to_be_bytes).collect();
        for length in 0..=1_000usize {
            let text = text.get(length..length.saturating_mul(2)).unwrap();
            assert_eq!(sha256(text)[..], Sha256::digest(text)[..], "{length} bytes");
        }
    }

    #[test]
    fn it_agrees_with_the_standard() {
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
