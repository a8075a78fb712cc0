//! Changing what a key may do and whom it belongs to, without a new key.

use alloc::vec::Vec;

use crate::error::{Error, ErrorKind};
use crate::lifecycle::key_change::{Edit, KeyChange};
use crate::lifecycle::status::{Change, state};
use crate::policy::permission::PermissionSet;
use crate::policy::template::ScopeTemplate;
use crate::record::event::EventKind;
use crate::record::field_change::FieldChange;
use crate::record::key_record::{KeyRecord, Status};
use crate::record::within::is_narrower;
use crate::time::UnixMillis;

/// Changes a key. Its text, its id and its status stay.
///
/// A suspended key is changed too, and stays suspended. The event names each field that
/// changed, with its value before and after; of the e-mail address and the metadata only that
/// they changed.
///
/// A store writes [`remaining_uses`](KeyRecord::remaining_uses) only if it is asked to: see
/// [`KeyChange::sets_uses`].
///
/// # Errors
/// [`ErrorKind::State`] if the key is revoked, expired or replaced, if nothing would change, or
/// if a permission that is removed is not one of the key's, or is still granted by another.
/// [`ErrorKind::Exceeds`] if the key would exceed its template, or was issued from a template
/// and would be given more without a change of the template.
/// [`ErrorKind::Permission`] for more than 64 permissions.
/// [`ErrorKind::Time`] if the lifetime ends after the year 9999.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// let request = IssueRequest::new("Acme")?.permissions(["read"])?;
/// let record = issuer.issue(&request, &mut SysRng, now)?.record;
///
/// let more = KeyChange::new().add_permissions(PermissionSet::new(["write"])?);
/// let changed = change(&record, &more, now)?;
/// assert!(changed.record.permissions.grants("write"));
/// assert_eq!(changed.event.changes[0].to.as_deref(), Some("read, write"));
/// // The same again changes nothing, and a revoked key is not changed.
/// assert_eq!(change(&changed.record, &more, now).unwrap_err().kind(), ErrorKind::State);
/// let revoked = revoke(&record, "leaked", now)?.record;
/// assert_eq!(change(&revoked, &more, now).unwrap_err().kind(), ErrorKind::State);
/// # Ok::<(), Error>(())
/// ```
pub fn change(record: &KeyRecord, requested: &KeyChange, now: UnixMillis) -> Result<Change, Error> {
    let changed = requested.apply(record, now)?;
    let changes = FieldChange::between(record, &changed);
    if changes.is_empty() {
        return Err(state("a change must change a field of the key"));
    }
    let mut change = Change::new(record, EventKind::Changed, now)?;
    let version = change.record.version;
    change.record = KeyRecord { version, ..changed };
    change.event.changes = changes;
    Ok(change)
}

impl KeyChange {
    /// Whether [`change`](change()) would change a field of this key.
    ///
    /// # Errors
    /// As [`change`](change()), except that a change of nothing is none.
    pub fn alters(&self, record: &KeyRecord, now: UnixMillis) -> Result<bool, Error> {
        let changed = self.apply(record, now)?;
        Ok(!FieldChange::between(record, &changed).is_empty())
    }

    /// The record with the requested values, and with the version that it had.
    fn apply(&self, record: &KeyRecord, now: UnixMillis) -> Result<KeyRecord, Error> {
        if matches!(record.status, Status::Revoked { .. }) {
            return Err(state(
                "a key must be active or suspended to be changed; this one is revoked",
            ));
        }
        if record.replaced_by.is_some() {
            return Err(state(
                "a key must have no successor to be changed; change its successor",
            ));
        }
        if record.ends_at().is_some_and(|end| end <= now) {
            return Err(state(
                "a key must not have expired to be changed; this one has",
            ));
        }
        let mut changed = record.clone();
        if let Some(name) = &self.client_name {
            changed.client_name.clone_from(name);
        }
        self.client_email.apply(&mut changed.client_email);
        self.owner.apply(&mut changed.owner);
        // The template first: what else is set narrows it.
        match &self.template {
            Edit::Keep => {}
            Edit::Clear => changed.scope_type = None,
            Edit::Set(template) => {
                changed.scope_type = Some(template.name.clone());
                changed.permissions.clone_from(&template.permissions);
                changed
                    .allowed_endpoints
                    .clone_from(&template.allowed_endpoints);
                changed.rate_limit = template.rate_limit;
            }
        }
        changed.permissions = self.permissions_from(&changed.permissions)?;
        self.endpoints.apply(&mut changed.allowed_endpoints);
        self.networks.apply(&mut changed.allowed_networks);
        self.rate_limit.apply(&mut changed.rate_limit);
        self.uses.apply(&mut changed.remaining_uses);
        self.metadata.apply(&mut changed.metadata);
        match self.lifetime {
            Edit::Keep => {}
            Edit::Clear => (changed.expires_at, changed.lifetime) = (None, None),
            Edit::Set(lifetime) => {
                changed.expires_at = Some(now.plus(lifetime)?);
                changed.lifetime = Some(lifetime);
            }
        }
        self.check_template(record, &changed)?;
        changed.check()?;
        Ok(changed)
    }

    fn permissions_from(&self, held: &PermissionSet) -> Result<PermissionSet, Error> {
        let held = self.permissions.as_ref().unwrap_or(held);
        let removed: Vec<&str> = self.removed.iter().flat_map(PermissionSet::iter).collect();
        if removed
            .iter()
            .any(|one| !held.iter().any(|other| other == *one))
        {
            return Err(state(
                "a permission to remove must be one of the key's, spelled as it was granted",
            ));
        }
        let kept: Vec<&str> = held.iter().filter(|one| !removed.contains(one)).collect();
        // One that the key has already is not counted twice.
        let added = self.added.iter().flat_map(PermissionSet::iter);
        let added = added.filter(|one| !kept.contains(one));
        let permissions = PermissionSet::new(kept.iter().copied().chain(added))?;
        for one in removed {
            if permissions.covers(&PermissionSet::new([one])?) {
                return Err(state(
                    "a permission to remove must not be granted by another one of the key's",
                ));
            }
        }
        Ok(permissions)
    }

    /// P4: a key of a template never has more than it. Only the template's name is known of
    /// the one that a key was issued from, so such a key gets nothing more unless a template
    /// is set, or the name is cleared.
    fn check_template(&self, from: &KeyRecord, to: &KeyRecord) -> Result<(), Error> {
        let (within, expected) = match &self.template {
            Edit::Set(template) => (
                is_within(to, template),
                "a key must not exceed its template",
            ),
            Edit::Keep => match &from.scope_type {
                Some(name) => {
                    let mut held = ScopeTemplate::new(name.clone(), from.permissions.clone());
                    held.allowed_endpoints.clone_from(&from.allowed_endpoints);
                    held.rate_limit = from.rate_limit;
                    (
                        is_within(to, &held),
                        "a key of a template must not be given more; set or clear the template too",
                    )
                }
                None => return Ok(()),
            },
            Edit::Clear => return Ok(()),
        };
        if within {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Exceeds, expected))
        }
    }
}

fn is_within(key: &KeyRecord, template: &ScopeTemplate) -> bool {
    template.permissions.covers(&key.permissions)
        && is_narrower(
            &key.allowed_endpoints,
            &template.allowed_endpoints,
            |own, held| held.covers(own),
        )
        && is_narrower(&key.rate_limit, &template.rate_limit, |own, held| {
            own.is_within(held)
        })
}
