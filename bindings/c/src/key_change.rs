//! Changing what a key may do and whom it belongs to, without a new key.

use core::mem::MaybeUninit;

use keystile::{KeyChange, Millis, change};

use crate::boundary::{begins_with_its_size, guard, non_null, sized};
use crate::change::keystile_change;
use crate::endpoint::keystile_endpoints;
use crate::lifetime::{keystile_lifetime_policy, policy_of};
use crate::limit::keystile_rate_limit;
use crate::network::keystile_networks;
use crate::permission::keystile_permissions;
use crate::record::keystile_record;
use crate::status::keystile_status::{self, *};
use crate::template::keystile_template;
use crate::text::{instant, keystile_str};

/// What is to be changed of a key. Whatever is zero stays as it is, so a change whose
/// fields were forgotten changes nothing.
///
/// A text or a handle that is not NULL replaces the value, and so does a number if its
/// `has_` flag is 1. To clear an optional field, set its `clear_` flag to 1; without
/// endpoints, networks, a rate limit or uses, a key is not restricted by them, so that
/// clearing one gives it more. These are errors: a field that is both set and cleared, a
/// number without its flag, a flag other than 0 and 1.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_key_change<'a> {
    /// `sizeof(keystile_key_change)`.
    pub struct_size: usize,
    /// The client that the key belongs to, for people: 1 to 255 bytes.
    pub client_name: keystile_str,
    /// The address to send notices to.
    pub client_email: keystile_str,
    /// The account or tenant that the key belongs to.
    pub owner: keystile_str,
    /// Custom JSON text, at most 16 KiB, which replaces all of it.
    pub metadata: keystile_str,
    /// A template that sets the permissions, limit and endpoints, which the other fields
    /// may only narrow. A key of a template gets nothing more unless a template is set, or
    /// its name is cleared, in the same change.
    pub scope_template: Option<&'a keystile_template>,
    /// All permissions of the key.
    pub permissions: Option<&'a keystile_permissions>,
    /// Permissions that it gets in addition.
    pub add_permissions: Option<&'a keystile_permissions>,
    /// Permissions that are taken from it, each spelled as it was granted.
    pub remove_permissions: Option<&'a keystile_permissions>,
    /// The endpoints that the key is restricted to. An empty list: none.
    pub allowed_endpoints: Option<&'a keystile_endpoints>,
    /// The networks that the key is restricted to. An empty list: none.
    pub allowed_networks: Option<&'a keystile_networks>,
    /// Optional: how long keys of the service may live. A key that lives longer keeps its end,
    /// unless the change sets another.
    pub lifetimes: *const keystile_lifetime_policy,
    /// The rate limit, if `has_rate_limit`.
    pub rate_limit: keystile_rate_limit,
    /// The uses left to all keys of the lineage from now on, if `has_uses`: 1 or more.
    pub uses: u64,
    /// The lifetime from now on, if `has_lifetime`: 1 or more.
    pub lifetime_millis: u64,
    /// 1 to set `rate_limit`.
    pub has_rate_limit: u8,
    /// 1 to set `uses`.
    pub has_uses: u8,
    /// 1 to set `lifetime_millis`.
    pub has_lifetime: u8,
    /// 1 for a key that does not expire any more.
    pub never_expires: u8,
    /// 1 to clear the e-mail address.
    pub clear_client_email: u8,
    /// 1 to clear the owner.
    pub clear_owner: u8,
    /// 1 to clear the metadata.
    pub clear_metadata: u8,
    /// 1 to clear the name of the template; the rights stay.
    pub clear_scope_template: u8,
    /// 1 to allow any endpoint.
    pub clear_allowed_endpoints: u8,
    /// 1 to allow any network.
    pub clear_allowed_networks: u8,
    /// 1 for no rate limit.
    pub clear_rate_limit: u8,
    /// 1 to count no uses.
    pub clear_uses: u8,
    /// Must be 0.
    pub reserved: [u8; 4],
}

begins_with_its_size!(keystile_key_change<'_>);

/// Changes a key. Its text, its id and its status stay: a suspended key can be changed, and
/// stays suspended.
///
/// `requested`: what is to be changed; copied.
/// `now`: milliseconds since 1970.
/// `out_change`: receives the changed record and the event, whose fields
/// `keystile_change_field_at` reads. A store writes the remaining uses only if `has_uses` or
/// `clear_uses` is set. After it has accepted the change, call `keystile_keyring_invalidate_at`
/// with the version of the changed record.
///
/// The remaining uses belong to the lineage. If the event names `remaining_uses`, write for
/// each other live key of the lineage, in the same transaction, a version that is 1 higher and
/// an event `KEYSTILE_EVENT_CHANGED` with that version, and invalidate it at that version too.
/// Otherwise a process that has such a key in memory uses the number that it had before.
///
/// Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_STATE` if the key is revoked, expired or replaced,
/// if nothing would change, or if a permission to remove is not one of the key's or is still
/// granted by another; `KEYSTILE_ERROR_EXCEEDS` if the key would exceed its template;
/// `KEYSTILE_ERROR_VALUE` if a field is both set and cleared, a number has no flag, a flag is
/// neither 0 nor 1, or `reserved` is not 0; otherwise the error of the first field that is not
/// well formed: the rate limit, then the texts, the uses and the lifetime.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_record_change(
    record: Option<&keystile_record>,
    requested: *const keystile_key_change<'_>,
    now: u64,
    out_change: Option<&mut MaybeUninit<Option<Box<keystile_change>>>>,
) -> keystile_status {
    guard(|| {
        let (record, requested) = (&non_null(record)?.0, sized!(requested)?.core()?);
        let (out_change, now) = (non_null(out_change)?, instant(now)?);
        let changed = change(record, &requested, now)?;
        out_change.write(Some(keystile_change::changed(changed)));
        Ok(())
    })
}

/// Checks whether `keystile_record_change` would change a field of this key.
///
/// `out_alters`: receives the answer. Returns as `keystile_record_change`, except that a
/// change of nothing is `KEYSTILE_OK`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_record_would_change(
    record: Option<&keystile_record>,
    requested: *const keystile_key_change<'_>,
    now: u64,
    out_alters: Option<&mut MaybeUninit<bool>>,
) -> keystile_status {
    guard(|| {
        let (record, requested) = (&non_null(record)?.0, sized!(requested)?.core()?);
        let (out_alters, now) = (non_null(out_alters)?, instant(now)?);
        out_alters.write(requested.alters(record, now)?);
        Ok(())
    })
}

/// Whether a flag is set. A struct that was not zeroed must not take a restriction away.
const fn flag(value: u8) -> Result<bool, keystile_status> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(KEYSTILE_ERROR_VALUE),
    }
}

/// A number, if its flag is set. One without its flag was meant to be set.
fn flagged<T>(value: T, is_zero: bool, has: u8) -> Result<Option<T>, keystile_status> {
    match (flag(has)?, is_zero) {
        (true, _) => Ok(Some(value)),
        (false, true) => Ok(None),
        (false, false) => Err(KEYSTILE_ERROR_VALUE),
    }
}

/// What happens to an optional field: `None` if it stays, `Some(None)` if it is cleared.
fn edit<T>(value: Option<T>, clear: u8) -> Result<Option<Option<T>>, keystile_status> {
    match (value, flag(clear)?) {
        (None, false) => Ok(None),
        (None, true) => Ok(Some(None)),
        (Some(value), false) => Ok(Some(Some(value))),
        // The caller's intention is not known.
        (Some(_), true) => Err(KEYSTILE_ERROR_VALUE),
    }
}

impl keystile_key_change<'_> {
    fn core(&self) -> Result<KeyChange, keystile_status> {
        if self.reserved != [0; 4] {
            return Err(KEYSTILE_ERROR_VALUE);
        }
        let uses = flagged(self.uses, self.uses == 0, self.has_uses)?;
        let lifetime = self.lifetime_millis;
        let lifetime = flagged(Millis::new(lifetime), lifetime == 0, self.has_lifetime)?;
        let (uses, lifetime) = (
            edit(uses, self.clear_uses)?,
            edit(lifetime, self.never_expires)?,
        );
        let email = edit(self.client_email.optional()?, self.clear_client_email)?;
        let owner = edit(self.owner.optional()?, self.clear_owner)?;
        let metadata = edit(self.metadata.optional()?, self.clear_metadata)?;

        let mut change = self.rights()?;
        if let Some(name) = self.client_name.optional()? {
            change = change.client_name(name)?;
        }
        if let Some(email) = email {
            change = change.email(email)?;
        }
        if let Some(owner) = owner {
            change = change.owner(owner)?;
        }
        if let Some(metadata) = metadata {
            change = change.metadata(metadata)?;
        }
        if let Some(uses) = uses {
            change = change.uses(uses)?;
        }
        let change = match lifetime {
            None => change,
            Some(None) => change.never_expires(),
            Some(Some(lifetime)) => change.expires_in(lifetime)?,
        };
        match policy_of(self.lifetimes)? {
            None => Ok(change),
            Some(lifetimes) => Ok(change.within(&lifetimes)?),
        }
    }

    fn rights(&self) -> Result<KeyChange, keystile_status> {
        let keystile_rate_limit {
            limit,
            burst,
            window_millis,
        } = self.rate_limit;
        let is_zero = limit == 0 && burst == 0 && window_millis == 0;
        let limit = flagged(self.rate_limit, is_zero, self.has_rate_limit)?;
        let limit = edit(limit, self.clear_rate_limit)?;
        let template = edit(self.scope_template, self.clear_scope_template)?;
        let rules = edit(self.allowed_endpoints, self.clear_allowed_endpoints)?;
        let networks = edit(self.allowed_networks, self.clear_allowed_networks)?;

        let mut change = KeyChange::new();
        if let Some(template) = template {
            change = change.template(template.map(|template| template.0.clone()));
        }
        if let Some(all) = self.permissions {
            change = change.permissions(all.0.clone());
        }
        if let Some(more) = self.add_permissions {
            change = change.add_permissions(more.0.clone());
        }
        if let Some(some) = self.remove_permissions {
            change = change.remove_permissions(some.0.clone());
        }
        if let Some(rules) = rules {
            change = change.endpoints(rules.map(|rules| rules.0.clone()));
        }
        if let Some(networks) = networks {
            change = change.networks(networks.map(|networks| networks.0.clone()));
        }
        if let Some(limit) = limit {
            let limit = limit.map(|limit| limit.core()).transpose()?;
            change = change.rate_limit(limit);
        }
        Ok(change)
    }
}
