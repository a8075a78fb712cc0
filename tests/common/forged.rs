//! Keys that look right but were never issued: the check is right, the digest is not.

use crate::common::test_rng::TestRng;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The check of a text: CRC-32 in six base62 digits.
pub(crate) fn check_of(covered: &[u8]) -> [u8; 6] {
    let mut sum = crc32fast::hash(covered);
    let mut digits = [0; 6];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[sum as usize % 62];
        sum /= 62;
    }
    digits
}

/// A text followed by its check.
pub(crate) fn with_check(covered: &str) -> String {
    let check = check_of(covered.as_bytes());
    format!("{covered}{}", core::str::from_utf8(&check).unwrap())
}

/// The key with another secret after its id.
pub(crate) fn with_wrong_secret(text: &str) -> String {
    let (head, secret) = text[..text.len() - 6].split_at(text.len() - 6 - 43);
    let turned: String = secret.chars().rev().collect();
    with_check(&format!("{head}{turned}"))
}

/// Invented keys of `acme_live_…`, all different and made without an allocation.
pub(crate) struct Forger {
    rng: TestRng,
    text: Vec<u8>,
}

impl Forger {
    pub(crate) fn seeded(seed: u64) -> Self {
        let text = format!("acme_live_1{}_{}", "0".repeat(15), "0".repeat(43 + 6));
        Self {
            rng: TestRng::seeded(seed),
            text: text.into_bytes(),
        }
    }

    /// The next key, with its right check.
    pub(crate) fn forge(&mut self) -> &[u8] {
        let length = self.text.len();
        for start in [11, 27, 27 + 10, 27 + 20, 27 + 30] {
            let mut random = self.rng.next_u64();
            for byte in &mut self.text[start..start + 10] {
                *byte = DIGITS[(random % 62) as usize];
                random /= 62;
            }
        }
        let (covered, check) = self.text.split_at_mut(length - 6);
        check.copy_from_slice(&check_of(covered));
        &self.text
    }

    /// The next key, with a check that is one off.
    pub(crate) fn mistype(&mut self) -> &[u8] {
        self.forge();
        let last = self.text.last_mut().unwrap();
        *last = if *last == b'0' { b'1' } else { b'0' };
        &self.text
    }
}
