//! Serde forms of records and of the types in them, in the shapes of the SQL table.
//!
//! Reading is strict: a list in the place of an object, a field that is unknown, duplicate or missing, or a value that its
//! constructor refuses, is an error, so that no restriction is lost.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::error::Error;
use crate::key::digest::Digest;
use crate::key::id::KeyId;
use crate::key::label::{Environment, TemplateName};
use crate::policy::endpoint::EndpointRules;
use crate::policy::network::Networks;
use crate::policy::permission::PermissionSet;
use crate::policy::rate_limit::RateLimit;
use crate::policy::requirement::Requirement;
use crate::policy::template::ScopeTemplate;
use crate::record::derived_from::DerivedFrom;
use crate::record::key_record::{KeyRecord, PublicRecord, Status};
use crate::record::serde_object::{object, optional_object};
use crate::time::{Millis, UnixMillis};

/// A type that is written as text and read by its constructor.
macro_rules! as_text {
    ($name:ty, $read:expr) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(from)?;
                $read(&text).map_err(D::Error::custom)
            }
        }
    };
}

/// A type that is written as a list of texts and read by its constructor.
macro_rules! as_list {
    ($name:ty) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_seq(self.iter().map(|item| item.to_string()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Self::new(Vec::<String>::deserialize(from)?).map_err(D::Error::custom)
            }
        }
    };
}

as_text!(KeyId, str::parse);
as_text!(Environment, Environment::new);
as_text!(TemplateName, TemplateName::new);
as_text!(Digest, str::parse);
as_list!(PermissionSet);
as_list!(EndpointRules);
as_list!(Networks);

impl Serialize for Requirement {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Requirement {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&Cow::<str>::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl Serialize for UnixMillis {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.get())
    }
}

impl<'de> Deserialize<'de> for UnixMillis {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.get())
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        u64::deserialize(from).map(Self::new)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitForm {
    limit: u32,
    window_ms: Millis,
    burst: u32,
}

impl Serialize for RateLimit {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let form = LimitForm {
            limit: self.limit(),
            window_ms: self.window(),
            burst: self.burst(),
        };
        form.serialize(to)
    }
}

impl<'de> Deserialize<'de> for RateLimit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let form: LimitForm = object(from)?;
        Self::with_burst(form.limit, form.window_ms, form.burst).map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
enum StatusForm {
    Active {},
    Suspended {},
    Revoked { at: UnixMillis, reason: Box<str> },
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DerivedFromForm {
    key_id: KeyId,
    lineage: KeyId,
}

/// A record's fields in order; the digest is left out for display.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordForm<'r> {
    id: KeyId,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    key_prefix: Cow<'r, str>,
    client_name: Cow<'r, str>,
    #[serde(deserialize_with = "present")]
    client_email: Option<Cow<'r, str>>,
    #[serde(deserialize_with = "present")]
    owner: Option<Cow<'r, str>>,
    #[serde(deserialize_with = "present")]
    environment: Option<Environment>,
    permissions: Cow<'r, PermissionSet>,
    #[serde(deserialize_with = "present")]
    allowed_endpoints: Option<Cow<'r, EndpointRules>>,
    #[serde(deserialize_with = "present")]
    allowed_networks: Option<Cow<'r, Networks>>,
    #[serde(deserialize_with = "present")]
    rate_limit: Option<RateLimit>,
    #[serde(deserialize_with = "present")]
    remaining_uses: Option<u64>,
    #[serde(deserialize_with = "present")]
    scope_type: Option<Cow<'r, TemplateName>>,
    #[serde(deserialize_with = "present")]
    metadata: Option<Cow<'r, str>>,
    // The fields that not every record has are left out, and so are readable by a release
    // that does not know them.
    #[serde(
        default,
        deserialize_with = "optional_object",
        skip_serializing_if = "Option::is_none"
    )]
    derived_from: Option<DerivedFromForm>,
    created_at: UnixMillis,
    #[serde(deserialize_with = "present")]
    last_used_at: Option<UnixMillis>,
    #[serde(deserialize_with = "present")]
    expires_at: Option<UnixMillis>,
    /// If it is missing, it is the time from the beginning to the expiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lifetime_ms: Option<Millis>,
    #[serde(deserialize_with = "object")]
    status: StatusForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspended_with: Option<KeyId>,
    lineage: KeyId,
    #[serde(deserialize_with = "present")]
    replaced_by: Option<KeyId>,
    #[serde(deserialize_with = "present")]
    overlap_until: Option<UnixMillis>,
    #[serde(deserialize_with = "present")]
    ends_at_first_use: Option<KeyId>,
    version: u64,
}

/// A value that may be null but not missing: otherwise a truncated record would grant
/// more than the whole one.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

impl<'r> RecordForm<'r> {
    fn of(record: &'r KeyRecord, digest: Option<Digest>) -> Self {
        let text = |text: &'r Option<Box<str>>| text.as_deref().map(Cow::Borrowed);
        Self {
            id: record.id,
            digest,
            key_prefix: Cow::Borrowed(&record.key_prefix),
            client_name: Cow::Borrowed(&record.client_name),
            client_email: text(&record.client_email),
            owner: text(&record.owner),
            environment: record.environment,
            permissions: Cow::Borrowed(&record.permissions),
            allowed_endpoints: record.allowed_endpoints.as_ref().map(Cow::Borrowed),
            allowed_networks: record.allowed_networks.as_ref().map(Cow::Borrowed),
            rate_limit: record.rate_limit,
            remaining_uses: record.remaining_uses,
            scope_type: record.scope_type.as_ref().map(Cow::Borrowed),
            metadata: text(&record.metadata),
            derived_from: record.derived_from.map(|from| DerivedFromForm {
                key_id: from.key_id,
                lineage: from.lineage,
            }),
            created_at: record.created_at,
            last_used_at: record.last_used_at,
            expires_at: record.expires_at,
            lifetime_ms: record.lifetime_given().filter(|length| {
                let end = record.created_at.plus(*length).ok();
                end.is_none() || end != record.expires_at
            }),
            suspended_with: record.suspended_with,
            status: match &record.status {
                Status::Active => StatusForm::Active {},
                Status::Suspended => StatusForm::Suspended {},
                Status::Revoked { at, reason } => StatusForm::Revoked {
                    at: *at,
                    reason: reason.clone(),
                },
            },
            lineage: record.lineage,
            replaced_by: record.replaced_by,
            overlap_until: record.overlap_until,
            ends_at_first_use: record.ends_at_first_use,
            version: record.version,
        }
    }

    fn into_record(self, digest: Digest) -> Result<KeyRecord, Error> {
        let text = |text: Option<Cow<'r, str>>| text.map(|text| Box::from(text.into_owned()));
        let mut record = KeyRecord {
            id: self.id,
            digest,
            key_prefix: self.key_prefix.into_owned().into(),
            client_name: self.client_name.into_owned().into(),
            client_email: text(self.client_email),
            owner: text(self.owner),
            environment: self.environment,
            permissions: self.permissions.into_owned(),
            allowed_endpoints: self.allowed_endpoints.map(Cow::into_owned),
            allowed_networks: self.allowed_networks.map(Cow::into_owned),
            rate_limit: self.rate_limit,
            remaining_uses: self.remaining_uses,
            scope_type: self.scope_type.map(Cow::into_owned),
            metadata: text(self.metadata),
            derived_from: self
                .derived_from
                .map(|from| DerivedFrom::new(from.key_id, from.lineage)),
            created_at: self.created_at,
            last_used_at: self.last_used_at,
            expires_at: self.expires_at,
            lifetime: self.lifetime_ms,
            suspended_with: self.suspended_with,
            status: match self.status {
                StatusForm::Active {} => Status::Active,
                StatusForm::Suspended {} => Status::Suspended,
                StatusForm::Revoked { at, reason } => Status::Revoked { at, reason },
            },
            lineage: self.lineage,
            replaced_by: self.replaced_by,
            overlap_until: self.overlap_until,
            ends_at_first_use: self.ends_at_first_use,
            version: self.version,
        };
        record.lifetime = record.lifetime_given();
        record.check()?;
        Ok(record)
    }
}

impl Serialize for KeyRecord {
    /// Includes the digest: this is the form for stores. For display, use
    /// [`KeyRecord::public`].
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        RecordForm::of(self, Some(self.digest)).serialize(to)
    }
}

impl Serialize for PublicRecord<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        RecordForm::of(self.0, None).serialize(to)
    }
}

impl<'de> Deserialize<'de> for KeyRecord {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let form: RecordForm<'_> = object(from)?;
        let digest = form.digest.ok_or(D::Error::missing_field("digest"))?;
        form.into_record(digest).map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateForm {
    name: TemplateName,
    permissions: PermissionSet,
    #[serde(deserialize_with = "present")]
    rate_limit: Option<RateLimit>,
    #[serde(deserialize_with = "present")]
    allowed_endpoints: Option<EndpointRules>,
}

impl Serialize for ScopeTemplate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let form = TemplateForm {
            name: self.name.clone(),
            permissions: self.permissions.clone(),
            rate_limit: self.rate_limit,
            allowed_endpoints: self.allowed_endpoints.clone(),
        };
        form.serialize(to)
    }
}

impl<'de> Deserialize<'de> for ScopeTemplate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let form: TemplateForm = object(from)?;
        Ok(Self {
            name: form.name,
            permissions: form.permissions,
            rate_limit: form.rate_limit,
            allowed_endpoints: form.allowed_endpoints,
        })
    }
}
