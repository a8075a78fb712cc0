//! What a store has for a key, as a keyring is given it.

use crate::record::key_record::KeyRecord;
use crate::record::usage::Usage;

/// What a store has for a key: its record, what its lineage has spent, and a value of the
/// caller's.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// let hourly = RateLimit::new(1, Millis::from_hours(1))?;
/// let issued = issuer.issue(&IssueRequest::new("Acme")?.rate_limit(hourly), &mut SysRng, now)?;
/// // The store wrote this before the program was restarted.
/// let spent = Usage::new(hourly.admit(RateState::default(), now).unwrap(), None);
///
/// let keyring = Keyring::builder(Verifier::new(format)).build()?;
/// let key = issued.key.expose().as_bytes();
/// let Check::NeedsRecord(ticket) = keyring.check(key, &Request::new(), now) else {
///     panic!("nothing is cached yet");
/// };
/// let found = Found::new(&issued.record).with_usage(spent);
/// let Check::Decided(decision, _) = keyring.admit_with(ticket, Some(found), now) else {
///     panic!("nothing was invalidated");
/// };
/// assert_eq!(decision.denial().unwrap().code(), DenialCode::RateLimited);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Found<'r, T = ()> {
    pub(super) record: &'r KeyRecord,
    pub(super) usage: Usage,
    pub(super) value: T,
}

impl<'r> Found<'r> {
    /// A record of a lineage that has spent nothing yet, as far as the store knows.
    #[must_use]
    pub fn new(record: &'r KeyRecord) -> Self {
        Self {
            record,
            usage: Usage::of(record),
            value: (),
        }
    }
}

impl<'r, T> Found<'r, T> {
    /// What the lineage has spent, as the store has it. Its rate state is by the clock that
    /// `now` is read from: see [`RateState::moved`](crate::RateState::moved) if the store has
    /// a clock of its own.
    #[must_use]
    pub fn with_usage(self, usage: Usage) -> Self {
        Self { usage, ..self }
    }

    /// The value that decisions on this record come with.
    #[must_use]
    pub fn with_value<V>(self, value: V) -> Found<'r, V> {
        Found {
            record: self.record,
            usage: self.usage,
            value,
        }
    }
}
