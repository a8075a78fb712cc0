//! Rotation: a successor of the same lineage, and an overlap during which both keys are valid.

use alloc::vec::Vec;

use rand_core::TryCryptoRng;

use crate::error::{Error, ErrorKind};
use crate::key::digest::PepperRing;
use crate::key::format::KeyFormat;
use crate::key::id::KeyId;
use crate::key::text::ApiKey;
use crate::lifecycle::rotation_policy::RotationPolicy;
use crate::lifecycle::status::{Change, state};
use crate::record::event::{Event, EventKind};
use crate::record::key_record::{KeyRecord, Status};
use crate::time::UnixMillis;

/// A successor and the changes to its predecessors; a store writes all of them or none.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let rotated = issuer.rotate(&issued.record, &[], &RotationPolicy::default(), &mut SysRng, now)?;
/// assert_eq!(rotated.successor.digest, Digest::sha256(rotated.key.expose().as_bytes()));
/// assert_eq!(rotated.changed[0].replaced_by, Some(rotated.successor.id));
/// assert_eq!(rotated.event.successor, Some(rotated.successor.id));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Rotated {
    /// The successor's text, for its owner only.
    pub key: ApiKey,
    /// The successor's record.
    pub successor: KeyRecord,
    /// The records that changed: that of the replaced key, and that of an older key if this
    /// rotation cut its overlap short. Each version is one higher.
    pub changed: Vec<KeyRecord>,
    /// The event for the audit log.
    pub event: Event,
}

/// Gives `record` a successor of the same lineage, with the same rights.
///
/// The successor gets the lifetime that its predecessor was given, unless the policy asks for
/// another one; it starts at `now`. The old key is valid until the end of the overlap or its own
/// expiry, whichever is first; the overlap is at most half of the successor's lifetime. At every
/// instant at least one key of the
/// lineage is valid, and never more than two: if one of `siblings`, the other records of the
/// lineage, is still in its overlap, that overlap ends now.
///
/// A key whose successor was revoked may be rotated again until its overlap is over. The record
/// of that successor must be among the siblings.
///
/// # Errors
/// [`ErrorKind::State`] if the key is revoked, suspended, expired or already replaced, or if the
/// successor would have to end now, because a key that it derives from does.
/// [`ErrorKind::Record`] if a sibling is of another lineage. Otherwise as
/// [`issue`](crate::issue()).
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let none = PepperRing::none();
/// # let issued = issue(&format, &none, &IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let policy = RotationPolicy::default();
/// let rotated = rotate(&issued.record, &[], &policy, &format, &none, &mut SysRng, now)?;
/// let old = &rotated.changed[0];
/// assert_eq!(old.overlap_until, Some(now.plus(Millis::from_days(7))?));
/// assert!(old.is_live(now) && rotated.successor.is_live(now));
/// let again = rotate(old, &[], &policy, &format, &none, &mut SysRng, now);
/// assert_eq!(again.unwrap_err().kind(), ErrorKind::State);
/// # Ok::<(), Error>(())
/// ```
pub fn rotate<R: TryCryptoRng + ?Sized>(
    record: &KeyRecord,
    siblings: &[KeyRecord],
    policy: &RotationPolicy,
    format: &KeyFormat,
    peppers: &PepperRing,
    rng: &mut R,
    now: UnixMillis,
) -> Result<Rotated, Error> {
    let foreign = |sibling: &KeyRecord| sibling.lineage != record.lineage;
    if let Some(index) = siblings.iter().position(foreign) {
        let expected = "siblings must be of the record's lineage";
        let error = Error::new(ErrorKind::Record, expected);
        return Err(error.in_field("siblings").at(index));
    }
    match record.status {
        Status::Active => {}
        Status::Suspended => {
            return Err(state("a key must be active to be rotated; resume it first"));
        }
        Status::Revoked { .. } => {
            return Err(state(
                "a key must be active to be rotated; this one is revoked",
            ));
        }
    }
    if record.replaced_by.is_some() && !lost_its_successor(record, siblings, now) {
        return Err(state(
            "a key must have no successor to be rotated; rotate its successor",
        ));
    }
    if !record.is_live(now) {
        return Err(state(
            "a key must be live to be rotated; this one has expired",
        ));
    }

    let lifetime = policy.lifetime_after(record);
    let expires_at = policy.end_after(record, lifetime, now)?;
    if expires_at.is_some_and(|end| end <= now) {
        return Err(state(
            "a successor must not end before it begins; the key that it derives from has ended",
        ));
    }
    let id = KeyId::random(rng)?;
    let (key, shown) = format.spell(&id, record.environment.as_ref(), rng)?;
    let successor = KeyRecord {
        id,
        digest: peppers.digest(key.expose().as_bytes()),
        key_prefix: shown,
        created_at: now,
        last_used_at: None,
        expires_at,
        lifetime,
        replaced_by: None,
        overlap_until: None,
        ends_at_first_use: policy.ends_on_first_use().then_some(record.id),
        version: 1,
        ..record.clone()
    };

    let Change {
        record: mut replaced,
        mut event,
    } = Change::new(record, EventKind::Rotated, now)?;
    event.successor = Some(id);
    replaced.replaced_by = Some(id);
    // If the end cannot be represented, the overlap ends now; it is never unlimited.
    let overlap = policy.overlap_within(expires_at.map(|end| end.since(now)));
    let overlap_end = now.plus(overlap).unwrap_or(now);
    // Not longer than an overlap with an earlier successor either.
    replaced.overlap_until = Some(
        record
            .ends_at()
            .map_or(overlap_end, |end| end.min(overlap_end)),
    );
    replaced.ends_at_first_use = None;

    // A suspended key counts too: if it were resumed, it would be a third.
    let older = siblings.iter().filter(|sibling| {
        sibling.id != record.id
            && !matches!(sibling.status, Status::Revoked { .. })
            && sibling.ends_at().is_none_or(|end| now < end)
    });
    let changed = core::iter::once(Ok(replaced))
        .chain(older.map(|sibling| {
            let mut ended = ended(sibling, now)?;
            // It had no successor, as only other code or a damaged lineage can have it.
            ended.replaced_by = ended.replaced_by.or(Some(id));
            Ok(ended)
        }))
        .collect::<Result<_, Error>>()?;
    Ok(Rotated {
        key,
        successor,
        changed,
        event,
    })
}

/// Whether the only successor of a key was revoked, so that the lineage needs another one.
fn lost_its_successor(record: &KeyRecord, siblings: &[KeyRecord], now: UnixMillis) -> bool {
    let is_revoked = |id| {
        let mut all = siblings.iter();
        all.any(|key| key.id == id && matches!(key.status, Status::Revoked { .. }))
    };
    let is_newest = |key: &KeyRecord| {
        key.id != record.id
            && key.replaced_by.is_none()
            && !matches!(key.status, Status::Revoked { .. })
            && key.ends_at().is_none_or(|end| now < end)
    };
    record.replaced_by.is_some_and(is_revoked) && !siblings.iter().any(is_newest)
}

/// Ends the overlap of `record`, since its `successor` was used.
///
/// Call it if a decision has [`ends_overlap_of`](crate::Allowed::ends_overlap_of). Returns
/// both changed records: the ended one, and the successor, whose use no longer ends
/// anything. Returns `None` if there is no overlap to end, or if a record has the last version,
/// 9223372036854775807.
#[must_use]
pub fn end_overlap(
    record: &KeyRecord,
    successor: &KeyRecord,
    now: UnixMillis,
) -> Option<[KeyRecord; 2]> {
    if successor.ends_at_first_use != Some(record.id) || record.replaced_by != Some(successor.id) {
        return None;
    }
    let mut used = successor.clone();
    used.ends_at_first_use = None;
    used.version = successor.next_version().ok()?;
    Some([ended(record, now).ok()?, used])
}

/// The record with its overlap ended now, or earlier if it was already over.
fn ended(record: &KeyRecord, now: UnixMillis) -> Result<KeyRecord, Error> {
    let mut ended = record.clone();
    ended.overlap_until = Some(record.overlap_until.map_or(now, |end| end.min(now)));
    ended.version = record.next_version()?;
    Ok(ended)
}
