//! A record as plain fields, in both directions.

use keystile::{DerivedFrom, Environment, KeyId, KeyRecord, Millis, Status, TemplateName};

use crate::boundary::begins_with_its_size;
use crate::digest::keystile_digest;
use crate::endpoint::keystile_endpoints;
use crate::error::{Failure, OfField as _};
use crate::flags::{flag, number, rate_limit};
use crate::limit::keystile_rate_limit;
use crate::network::keystile_networks;
use crate::permission::keystile_permissions;
use crate::status::keystile_status::*;
use crate::text::{instant, keystile_id, keystile_str, millis, optional_instant};

/// Whether a key may be used at all.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum keystile_state {
    /// It may be used.
    KEYSTILE_STATE_ACTIVE = 1,
    /// It is refused until it is resumed.
    KEYSTILE_STATE_SUSPENDED = 2,
    /// It is refused for good.
    KEYSTILE_STATE_REVOKED = 3,
}

use keystile_state::*;

/// A record as plain fields. Optional fields are zero if they are not set.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_record_parts<'a> {
    /// `sizeof(keystile_record_parts)`.
    pub struct_size: usize,
    /// The public id.
    pub id: keystile_id,
    /// The digest of the key's text.
    pub digest: keystile_digest,
    /// The part of the key that may be shown: at most 40 bytes.
    pub key_prefix: keystile_str,
    /// The client that the key belongs to, for people: 1 to 255 bytes.
    pub client_name: keystile_str,
    /// Optional: the address to send notices to.
    pub client_email: keystile_str,
    /// Optional: the account or tenant that the key belongs to.
    pub owner: keystile_str,
    /// Optional: the deployment that the key is for.
    pub environment: keystile_str,
    /// Optional: the name of the template that it was issued from.
    pub scope_type: keystile_str,
    /// Optional: custom JSON text, at most 16 KiB.
    pub metadata: keystile_str,
    /// The permissions granted; NULL grants none.
    pub permissions: Option<&'a keystile_permissions>,
    /// The endpoints that the key is restricted to. NULL: all. An empty list: none.
    pub allowed_endpoints: Option<&'a keystile_endpoints>,
    /// The networks that the key is restricted to. NULL: all. An empty list: none.
    pub allowed_networks: Option<&'a keystile_networks>,
    /// The rate limit, if `has_rate_limit`.
    pub rate_limit: keystile_rate_limit,
    /// The uses left, if `has_remaining_uses`.
    pub remaining_uses: u64,
    /// When it was issued, in milliseconds since 1970.
    pub created_at: u64,
    /// When it was last used; 0 if that is not known.
    pub last_used_at: u64,
    /// When it expires; 0 only together with `never_expires`.
    pub expires_at: u64,
    /// When it was revoked; 0 if it is not revoked.
    pub revoked_at: u64,
    /// Why it was revoked.
    pub revoked_reason: keystile_str,
    /// When a replaced key is refused; 0 if it is not replaced.
    pub overlap_until: u64,
    /// The number of the change, 1 to 9223372036854775807; an update from an older version fails.
    pub version: u64,
    /// A `keystile_state`.
    pub state: u32,
    /// The first key of its lineage; all zero for the key itself.
    pub lineage: keystile_id,
    /// Optional: the key that replaces it.
    pub replaced_by: keystile_id,
    /// Optional: the predecessor whose overlap ends when this key is first used.
    pub ends_at_first_use: keystile_id,
    /// 1 for a key that does not expire, otherwise 0.
    pub never_expires: u8,
    /// 1 if there is a rate limit, otherwise 0.
    pub has_rate_limit: u8,
    /// 1 if uses are counted, otherwise 0.
    pub has_remaining_uses: u8,
    /// The length of life that it was given; 0 if that is the time from its beginning to its
    /// expiry, or if it never expires.
    pub lifetime_millis: u64,
    /// Optional: the key that it was derived from, together with `derived_lineage`.
    pub derived_from: keystile_id,
    /// Optional: the first key of the lineage of `derived_from`.
    pub derived_lineage: keystile_id,
    /// Optional: the key that it was suspended with, and is resumed with.
    pub suspended_with: keystile_id,
}

begins_with_its_size!(keystile_record_parts<'_>, grew at lifetime_millis);

impl<'a> keystile_record_parts<'a> {
    pub(crate) fn record(&self) -> Result<KeyRecord, Failure> {
        let mut record = KeyRecord::new(
            self.id.core().of_field("id")?,
            self.digest.core().of_field("digest")?,
            self.key_prefix.required().of_field("key_prefix")?,
            self.client_name.required().of_field("client_name")?,
            instant(self.created_at).of_field("created_at")?,
        )?;
        let text = |text: keystile_str, field| {
            let text = text.optional().of_field(field);
            text.map(|text| text.map(Box::from))
        };
        record.client_email = text(self.client_email, "client_email")?;
        record.owner = text(self.owner, "owner")?;
        record.metadata = text(self.metadata, "metadata")?;
        let environment = self.environment.optional().of_field("environment")?;
        record.environment = environment.map(Environment::new).transpose()?;
        let scope_type = self.scope_type.optional().of_field("scope_type")?;
        let scope_type = scope_type.map(TemplateName::new).transpose();
        record.scope_type = scope_type.of_field("scope_type")?;
        let permissions = self.permissions.map(|list| list.0.clone());
        record.permissions = permissions.unwrap_or_default();
        record.allowed_endpoints = self.allowed_endpoints.map(|list| list.0.clone());
        record.allowed_networks = self.allowed_networks.map(|list| list.0.clone());
        record.rate_limit = rate_limit(self.rate_limit, self.has_rate_limit)?;
        let (uses, has_uses) = (self.remaining_uses, self.has_remaining_uses);
        record.remaining_uses = number(uses, has_uses, "remaining_uses")?;
        record.last_used_at = optional_instant(self.last_used_at).of_field("last_used_at")?;
        record.expires_at = self.end()?;
        record.status = self.status()?;
        record.lineage = self
            .lineage
            .optional()
            .of_field("lineage")?
            .unwrap_or(record.id);
        record.replaced_by = self.replaced_by.optional().of_field("replaced_by")?;
        record.overlap_until = optional_instant(self.overlap_until).of_field("overlap_until")?;
        let ends = self.ends_at_first_use.optional();
        record.ends_at_first_use = ends.of_field("ends_at_first_use")?;
        record.version = self.version;
        record.lifetime = match self.lifetime_millis {
            0 => None,
            length => Some(Millis::new(length)),
        };
        record.derived_from = self.source()?;
        record.suspended_with = self.suspended_with.optional().of_field("suspended_with")?;
        record.check()?;
        Ok(record)
    }

    /// A missing expiry is an error; `never_expires` must be set explicitly.
    fn end(&self) -> Result<Option<keystile::UnixMillis>, Failure> {
        let never = flag(self.never_expires, "never_expires")?;
        match (
            optional_instant(self.expires_at).of_field("expires_at")?,
            never,
        ) {
            (Some(end), false) => Ok(Some(end)),
            (None, true) => Ok(None),
            _ => {
                let expected = "either expires_at or never_expires must be set";
                Err(Failure::new(KEYSTILE_ERROR_VALUE, expected).in_field("expires_at"))
            }
        }
    }

    /// One of the two fields without the other would lose what the key derives from.
    fn source(&self) -> Result<Option<DerivedFrom>, Failure> {
        let ids = (
            self.derived_from.optional().of_field("derived_from")?,
            self.derived_lineage
                .optional()
                .of_field("derived_lineage")?,
        );
        match ids {
            (None, None) => Ok(None),
            (Some(key_id), Some(lineage)) => Ok(Some(DerivedFrom::new(key_id, lineage))),
            _ => {
                let expected = "derived_from and derived_lineage must be set together";
                Err(Failure::new(KEYSTILE_ERROR_VALUE, expected).in_field("derived_from"))
            }
        }
    }

    fn status(&self) -> Result<Status, Failure> {
        let is = |state: keystile_state| self.state == state as u32;
        let reason = self.revoked_reason.optional().of_field("revoked_reason")?;
        if is(KEYSTILE_STATE_REVOKED) {
            return Ok(Status::Revoked {
                at: instant(self.revoked_at).of_field("revoked_at")?,
                reason: reason.unwrap_or_default().into(),
            });
        }
        let wrong = |expected, field| Failure::new(KEYSTILE_ERROR_VALUE, expected).in_field(field);
        if self.revoked_at != 0 || reason.is_some() {
            let expected = "revoked_at and revoked_reason must be those of a revoked key";
            return Err(wrong(expected, "revoked_at"));
        }
        match self.state {
            _ if is(KEYSTILE_STATE_ACTIVE) => Ok(Status::Active),
            _ if is(KEYSTILE_STATE_SUSPENDED) => Ok(Status::Suspended),
            _ => Err(wrong("a state must be a keystile_state", "state")),
        }
    }

    pub(crate) fn of(record: &'a KeyRecord) -> Self {
        let text = |text: &'a Option<Box<str>>| keystile_str::of_optional(text.as_deref());
        let (state, revoked_at, reason) = match &record.status {
            Status::Active => (KEYSTILE_STATE_ACTIVE, None, None),
            Status::Revoked { at, reason } => (KEYSTILE_STATE_REVOKED, Some(*at), Some(&**reason)),
            _ => (KEYSTILE_STATE_SUSPENDED, None, None),
        };
        let id = |id: Option<KeyId>| keystile_id::of_optional(id.as_ref());
        let environment = record.environment.as_ref().map(Environment::as_str);
        let scope_type = record.scope_type.as_ref().map(TemplateName::as_str);
        let limit = record.rate_limit.as_ref().map(keystile_rate_limit::of);
        Self {
            struct_size: size_of::<Self>(),
            id: keystile_id::of(&record.id),
            digest: keystile_digest::of(&record.digest),
            key_prefix: keystile_str::of(&record.key_prefix),
            client_name: keystile_str::of(&record.client_name),
            client_email: text(&record.client_email),
            owner: text(&record.owner),
            environment: keystile_str::of_optional(environment),
            scope_type: keystile_str::of_optional(scope_type),
            metadata: text(&record.metadata),
            permissions: Some(keystile_permissions::lend(&record.permissions)),
            allowed_endpoints: record
                .allowed_endpoints
                .as_ref()
                .map(keystile_endpoints::lend),
            allowed_networks: record
                .allowed_networks
                .as_ref()
                .map(keystile_networks::lend),
            rate_limit: limit.unwrap_or_default(),
            remaining_uses: record.remaining_uses.unwrap_or(0),
            created_at: record.created_at.get(),
            last_used_at: millis(record.last_used_at),
            expires_at: millis(record.expires_at),
            revoked_at: millis(revoked_at),
            revoked_reason: keystile_str::of_optional(reason),
            overlap_until: millis(record.overlap_until),
            version: record.version,
            state: state as u32,
            lineage: keystile_id::of(&record.lineage),
            replaced_by: keystile_id::of_optional(record.replaced_by.as_ref()),
            ends_at_first_use: keystile_id::of_optional(record.ends_at_first_use.as_ref()),
            never_expires: u8::from(record.expires_at.is_none()),
            has_rate_limit: u8::from(limit.is_some()),
            has_remaining_uses: u8::from(record.remaining_uses.is_some()),
            lifetime_millis: record.lifetime.map_or(0, Millis::get),
            derived_from: id(record.derived_from.map(|from| from.key_id)),
            derived_lineage: id(record.derived_from.map(|from| from.lineage)),
            suspended_with: id(record.suspended_with),
        }
    }
}
