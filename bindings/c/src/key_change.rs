//! Changing what a key may do and whom it belongs to, without a new key.

use core::mem::MaybeUninit;

use keystile::{KeyChange, Millis, change};

use crate::boundary::{begins_with_its_size, non_null, sized};
use crate::change::keystile_change;
use crate::endpoint::keystile_endpoints;
use crate::error::{Failure, OfField as _, guard_saying, keystile_error};
use crate::flags::{edit, number, rate_limit};
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
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_record_change(
    record: Option<&keystile_record>,
    requested: *const keystile_key_change<'_>,
    now: u64,
    out_change: Option<&mut MaybeUninit<Option<Box<keystile_change>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (record, requested) = (&non_null(record)?.0, sized!(requested)?.core()?);
        let (out_change, now) = (non_null(out_change)?, instant(now).of_field("now")?);
        let changed = change(record, &requested, now)?;
        out_change.write(Some(keystile_change::changed(changed)));
        Ok(())
    })
}

/// Checks whether `keystile_record_change` would change a field of this key.
///
/// `out_alters`: receives the answer. Returns as `keystile_record_change`, except that a
/// change of nothing is `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_record_would_change(
    record: Option<&keystile_record>,
    requested: *const keystile_key_change<'_>,
    now: u64,
    out_alters: Option<&mut MaybeUninit<bool>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (record, requested) = (&non_null(record)?.0, sized!(requested)?.core()?);
        let (out_alters, now) = (non_null(out_alters)?, instant(now).of_field("now")?);
        out_alters.write(requested.alters(record, now)?);
        Ok(())
    })
}

impl keystile_key_change<'_> {
    fn core(&self) -> Result<KeyChange, Failure> {
        if self.reserved != [0; 4] {
            return Err(Failure::from(KEYSTILE_ERROR_VALUE).in_field("reserved"));
        }
        let uses = number(self.uses, self.has_uses, "uses")?;
        let lifetime = number(self.lifetime_millis, self.has_lifetime, "lifetime")?;
        let uses = edit(uses, self.clear_uses, "uses")?;
        let lifetime = edit(lifetime, self.never_expires, "lifetime")?;
        let text = |text: keystile_str, clear, field| {
            let text = text.optional().of_field(field)?;
            edit(text, clear, field)
        };
        let email = text(self.client_email, self.clear_client_email, "client_email")?;
        let owner = text(self.owner, self.clear_owner, "owner")?;
        let metadata = text(self.metadata, self.clear_metadata, "metadata")?;

        let mut change = self.rights()?;
        if let Some(name) = self.client_name.optional().of_field("client_name")? {
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
            Some(Some(lifetime)) => change.expires_in(Millis::new(lifetime))?,
        };
        match policy_of(self.lifetimes)? {
            None => Ok(change),
            Some(lifetimes) => Ok(change.within(&lifetimes)?),
        }
    }

    fn rights(&self) -> Result<KeyChange, Failure> {
        let limit = rate_limit(self.rate_limit, self.has_rate_limit)?;
        let limit = edit(limit, self.clear_rate_limit, "rate_limit")?;
        let template = edit(
            self.scope_template,
            self.clear_scope_template,
            "scope_template",
        )?;
        let rules = edit(
            self.allowed_endpoints,
            self.clear_allowed_endpoints,
            "allowed_endpoints",
        )?;
        let networks = edit(
            self.allowed_networks,
            self.clear_allowed_networks,
            "allowed_networks",
        )?;

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
            change = change.rate_limit(limit);
        }
        Ok(change)
    }
}
