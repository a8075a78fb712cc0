//! The peppers in `KEYSTILE_PEPPER`: `VERSION:HEX`, the current one first, then retired ones;
//! `none` in place of the first means that no pepper is current.

use std::ffi::OsStr;

use keystile::{Pepper, PepperRing};
use zeroize::Zeroizing;

use crate::duration::whole;
use crate::failure::Failure;

/// The environment variable.
pub(crate) const VARIABLE: &str = "KEYSTILE_PEPPER";

/// Stands in the place of the current pepper if there is none yet.
const STAGED: &str = "none,";

const EXPECTED: Failure = Failure::expected(
    "KEYSTILE_PEPPER must be VERSION:HEX with at least 64 hex digits, such as 1:00ff…; retired peppers follow after commas; none,VERSION:HEX is a pepper that is not yet current",
);

/// The ring that the variable describes; an empty ring if it is unset or empty.
pub(crate) fn ring(value: Option<&OsStr>) -> Result<PepperRing, Failure> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(PepperRing::none());
    };
    let text = value.to_str().ok_or(EXPECTED)?;
    let staged = text.strip_prefix(STAGED);
    let mut peppers = staged.unwrap_or(text).split(',').map(pepper);
    let first = peppers.next().ok_or(EXPECTED)??;
    let ring = peppers.try_fold(PepperRing::new(first), |ring, retired| {
        ring.with_retired(retired?)
            .map_err(|error| Failure::Message(format!("KEYSTILE_PEPPER: {error}").into()))
    })?;
    Ok(match staged {
        Some(_) => ring.without_current(),
        None => ring,
    })
}

fn pepper(text: &str) -> Result<Pepper, Failure> {
    let (version, digits) = text.split_once(':').ok_or(EXPECTED)?;
    let version = whole(version)
        .and_then(|version| u32::try_from(version).ok())
        .ok_or(EXPECTED)?;
    let secret = Zeroizing::new(hex::decode(digits).map_err(|_| EXPECTED)?);
    Pepper::new(version, &secret).map_err(|_| EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PepperRing, Failure> {
        ring(Some(OsStr::new(text)))
    }

    #[test]
    fn a_ring_is_read() {
        let (one, two) = ("11".repeat(32), "22".repeat(40));
        let current = Pepper::new(2, &[0x22; 40]).unwrap();
        let digest = PepperRing::new(current).digest(b"key");
        assert_eq!(
            read(&format!("2:{two},1:{one}")).unwrap().digest(b"key"),
            digest
        );
        assert_ne!(
            read(&format!("1:{one},2:{two}")).unwrap().digest(b"key"),
            digest
        );
        assert_eq!(
            read("").unwrap().digest(b"key"),
            PepperRing::none().digest(b"key")
        );
        let staged = read(&format!("none,2:{two},1:{one}")).unwrap();
        assert_eq!(staged.digest(b"key"), PepperRing::none().digest(b"key"));
        assert_eq!(staged.versions().collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn anything_else_is_refused_without_an_echo() {
        let one = "c0ffee".repeat(11);
        let nine: Vec<String> = (1..=9).map(|version| format!("{version}:{one}")).collect();
        for text in [
            "1",
            ":",
            "1:",
            "1:c0ffee",
            ",",
            "x:c0ffee",
            &one,
            &format!("1:{one}0"),
            &format!("1:{one},"),
            &format!(",1:{one}"),
            &format!("+1:{one}"),
            "none",
            "none,",
            &format!("none,none,1:{one}"),
            &format!("1:{one},none"),
            &format!("None,1:{one}"),
            &format!("1 :{one}"),
            &format!("4294967296:{one}"),
            &format!("1:{one},1:{one}"),
            &nine.join(","),
            &format!("1:{}", "c0ffeé".repeat(11)),
        ] {
            let refused = read(text).unwrap_err().to_string();
            assert!(
                refused.contains("KEYSTILE_PEPPER") && !refused.contains("c0ffee"),
                "{refused}"
            );
        }
    }
}
