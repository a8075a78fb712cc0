//! A key as a line of JSON.

use std::borrow::Cow;

use keystile::{KeyId, KeyRecord, PublicRecord, RateState, UnixMillis};
use serde::{Deserialize, Serialize};

use super::object::Object;
use super::problem::{LineProblem, diagnose};
use super::{DigestBytes, PortableKey, RemovedKey};

/// The limit on a line, without its end. A record with all fields at their limits is shorter.
pub const LINE_BYTES_MAX: usize = 1_024 * 1_024;

/// The version of the format, which each line names, so that files can be joined.
pub(super) const VERSION: u32 = 1;
/// The members of a line.
pub(super) const MEMBERS: [&str; 5] = [
    "keystile_export",
    "key",
    "rate_state",
    "former_digests",
    "removed_key",
];

/// A line of an export: a key, or what is remembered of one that was removed.
///
/// Reading is strict: a member that is unknown, missing or there twice is refused, and so is a
/// line of another version. What was written is read and written again with the same bytes.
///
/// ```
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use keystile_store::{PortableKey, PortableLine};
///
/// let key = PortableKey::new(issued.record);
/// let line = PortableLine::Key(Box::new(key.clone())).to_text();
/// assert!(line.starts_with(r#"{"keystile_export":1,"key":{"id":"1"#));
/// assert_eq!(PortableLine::parse(line.as_bytes())?, PortableLine::Key(Box::new(key.clone())));
///
/// // Without its digest it shows a key, and cannot become one.
/// let shown = key.to_public_text();
/// let refused = PortableLine::parse(shown.as_bytes()).unwrap_err();
/// assert_eq!(refused.field, "digest");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortableLine {
    /// A key.
    Key(Box<PortableKey>),
    /// A key that was removed.
    Removed(RemovedKey),
}

#[derive(Serialize)]
struct KeyLine<'k, R> {
    keystile_export: u32,
    key: &'k R,
    rate_state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    former_digests: Option<Vec<String>>,
}

#[derive(Serialize)]
struct RemovedLine<'k> {
    keystile_export: u32,
    removed_key: RemovedForm<'k>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RemovedForm<'k> {
    key_id: KeyId,
    version: u64,
    #[serde(deserialize_with = "Option::deserialize")]
    revoked_at: Option<UnixMillis>,
    #[serde(deserialize_with = "Option::deserialize")]
    revoke_reason: Option<Cow<'k, str>>,
    #[serde(deserialize_with = "Option::deserialize")]
    owner: Option<Cow<'k, str>>,
    digests: Vec<String>,
}

/// Any line, to read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyLine<'l> {
    keystile_export: u32,
    key: Option<KeyRecord>,
    rate_state: Option<Cow<'l, str>>,
    former_digests: Option<Vec<String>>,
    #[serde(borrow)]
    removed_key: Option<Object<RemovedForm<'l>>>,
}

impl PortableKey {
    /// The line of this key without its digests, to look at: it is no key for an import.
    #[must_use]
    pub fn to_public_text(&self) -> String {
        let record: PublicRecord<'_> = self.record.public();
        text(&KeyLine {
            keystile_export: VERSION,
            key: &record,
            rate_state: self.rate.to_bits().to_string(),
            former_digests: None,
        })
    }
}

impl PortableLine {
    /// The text of the line, without an end of line.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Key(key) => text(&KeyLine {
                keystile_export: VERSION,
                key: &key.record,
                rate_state: key.rate.to_bits().to_string(),
                former_digests: Some(hex_of(&key.former_digests)),
            }),
            Self::Removed(removed) => text(&RemovedLine {
                keystile_export: VERSION,
                removed_key: RemovedForm {
                    key_id: removed.key_id,
                    version: removed.version,
                    revoked_at: removed.revoked.as_ref().map(|(at, _)| *at),
                    revoke_reason: removed.revoked.as_ref().map(|(_, why)| (&**why).into()),
                    owner: removed.owner.as_deref().map(Into::into),
                    digests: hex_of(&removed.digests),
                },
            }),
        }
    }

    /// Reads a line, without its end.
    ///
    /// # Errors
    /// [`LineProblem`], which names the member and what is expected of it, and repeats nothing
    /// of the line.
    pub fn parse(line: &[u8]) -> Result<Self, LineProblem> {
        if line.len() > LINE_BYTES_MAX {
            return Err(LineProblem::new("line", "must be at most 1 MiB long"));
        }
        let Ok(Object(any)) = serde_json::from_slice::<Object<AnyLine<'_>>>(line) else {
            return Err(diagnose(line));
        };
        if any.keystile_export != VERSION {
            return Err(LineProblem::version());
        }
        match any {
            AnyLine {
                key: Some(record),
                rate_state: Some(rate),
                former_digests,
                removed_key: None,
                ..
            } => key(record, &rate, former_digests).map(|key| Self::Key(Box::new(key))),
            AnyLine {
                removed_key: Some(Object(form)),
                key: None,
                rate_state: None,
                former_digests: None,
                ..
            } => removed(form).map(Self::Removed),
            _ => Err(LineProblem::members()),
        }
    }

    /// The id of the key.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        match self {
            Self::Key(key) => key.record.id,
            Self::Removed(removed) => removed.key_id,
        }
    }
}

fn key(
    record: KeyRecord,
    rate: &str,
    former: Option<Vec<String>>,
) -> Result<PortableKey, LineProblem> {
    let bits = rate.parse::<u64>().ok();
    // Only as it is written, without a sign and zeros.
    let bits = bits.filter(|bits| bits.to_string() == rate);
    let expected = "must be a whole number of 64 bits, as text";
    let bits = bits.ok_or_else(|| LineProblem::new("rate_state", expected))?;
    let former = former.ok_or_else(|| LineProblem::new("former_digests", "must be there"))?;
    let former_digests = digests("former_digests", &former)?;
    if former_digests.contains(record.digest.bytes()) {
        let expected = "must not have the present digest";
        return Err(LineProblem::new("former_digests", expected));
    }
    if !(1..=VERSION_MAX).contains(&record.version) {
        return Err(LineProblem::new("version", VERSIONS));
    }
    let limit = i64::MAX.unsigned_abs();
    if record.remaining_uses.is_some_and(|uses| uses > limit) {
        let expected = "must be at most 9223372036854775807";
        return Err(LineProblem::new("remaining_uses", expected));
    }
    if record.lifetime.is_some_and(|length| length.get() > limit) {
        let expected = "must be at most 9223372036854775807";
        return Err(LineProblem::new("lifetime_ms", expected));
    }
    Ok(PortableKey {
        record,
        rate: RateState::from_bits(bits),
        former_digests,
    })
}

fn removed(form: RemovedForm<'_>) -> Result<RemovedKey, LineProblem> {
    let revoked = match (form.revoked_at, form.revoke_reason) {
        (Some(at), Some(reason)) => Some((at, Box::from(&*reason))),
        (None, None) => None,
        _ => {
            let expected = "must be there exactly if revoked_at is";
            return Err(LineProblem::new("revoke_reason", expected));
        }
    };
    let is_text = |text: &str| text.len() <= 255 && !text.contains(char::is_control);
    if revoked.as_ref().is_some_and(|(_, why)| !is_text(why)) {
        return Err(LineProblem::new("revoke_reason", TEXT));
    }
    if form.owner.as_deref().is_some_and(|owner| !is_text(owner)) {
        return Err(LineProblem::new("owner", TEXT));
    }
    if !(1..=VERSION_MAX).contains(&form.version) {
        return Err(LineProblem::new("version", VERSIONS));
    }
    Ok(RemovedKey {
        key_id: form.key_id,
        version: form.version,
        revoked,
        owner: form.owner.map(|owner| Box::from(&*owner)),
        digests: digests("digests", &form.digests)?,
    })
}

/// The limit on a version, half of what a store can hold: a key that could get no later version
/// could never be revoked.
const VERSION_MAX: u64 = 1 << 62;
const VERSIONS: &str = "must be from 1 to 4611686018427387904";
const TEXT: &str = "must be at most 255 bytes without control characters";

/// In ascending order, each once: so the same digests are always the same bytes.
fn digests(field: &'static str, texts: &[String]) -> Result<Vec<DigestBytes>, LineProblem> {
    let digests: Option<Vec<DigestBytes>> = texts.iter().map(|text| of_hex(text)).collect();
    let digests = digests.filter(|digests| digests.is_sorted_by(|one, next| one < next));
    let expected = "must be digests of 64 lower-case hex digits, ascending, each once";
    digests.ok_or_else(|| LineProblem::new(field, expected))
}

fn hex_of(digests: &[DigestBytes]) -> Vec<String> {
    digests.iter().map(to_hex).collect()
}

pub(crate) fn to_hex(digest: &DigestBytes) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest with these lower-case hex digits.
pub(crate) fn of_hex(text: &str) -> Option<DigestBytes> {
    let lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 64 || !text.bytes().all(lower) {
        return None;
    }
    let mut digest = DigestBytes::default();
    for (at, byte) in digest.iter_mut().enumerate() {
        let start = at.checked_mul(2)?;
        let digits = text.get(start..start.checked_add(2)?)?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(digest)
}

/// Serde's forms of these types have only texts and numbers, which JSON can hold.
fn text(line: &impl Serialize) -> String {
    serde_json::to_string(line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_mebibyte_is_read_and_no_longer_one() {
        let problem = |length| {
            let mut line = br#"{"keystile_export":2}"#.to_vec();
            line.resize(length, b' ');
            PortableLine::parse(&line)
                .err()
                .map(|problem| problem.field)
        };
        assert_eq!(problem(1_048_576), Some("keystile_export"));
        assert_eq!(problem(1_048_577), Some("line"));
    }
}
