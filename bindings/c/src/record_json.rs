//! Which field of a record's JSON is wrong. serde has no static text of it, so what could not be
//! read is read again, field by field.

use core::str::FromStr;

use keystile::{
    DerivedFrom, Digest, EndpointRules, Environment, Error, KeyId, KeyRecord, Millis, Networks,
    PermissionSet, RateLimit, Status, TemplateName, UnixMillis,
};
use serde_json::{Map, Value};

use crate::error::Failure;
use crate::status::keystile_status::*;

/// Why a text is not the JSON of a record.
pub(crate) fn failure(json: &str) -> Failure {
    match serde_json::from_str(json) {
        Ok(Value::Object(fields)) => Fields(fields).check().err().unwrap_or_else(general),
        _ => general(),
    }
}

fn general() -> Failure {
    KEYSTILE_ERROR_JSON.into()
}

/// A field that is not of the expected JSON type, or that is missing.
fn unexpected(field: &'static str) -> Failure {
    let expected = "the field must be there, and of its documented type";
    Failure::new(KEYSTILE_ERROR_JSON, expected).in_field(field)
}

struct Fields(Map<String, Value>);

impl Fields {
    fn check(&self) -> Result<(), Failure> {
        let id = required("id", self.id("id")?)?;
        let digest = required("digest", self.parsed("digest", Digest::from_str)?)?;
        let created = required("created_at", self.instant("created_at")?)?;
        let prefix = required("key_prefix", self.text("key_prefix")?)?;
        let name = required("client_name", self.text("client_name")?)?;
        let mut record = KeyRecord::new(id, digest, prefix, name, created)
            .map_err(|error| Failure::from(error).in_json())?;
        record.client_email = self.text("client_email")?.map(Box::from);
        record.owner = self.text("owner")?.map(Box::from);
        record.metadata = self.text("metadata")?.map(Box::from);
        self.parsed("environment", Environment::new)?;
        self.parsed("scope_type", TemplateName::new)?;
        self.list("permissions", |list| PermissionSet::new(list).map(drop))?;
        self.list("allowed_endpoints", |list| {
            EndpointRules::new(list).map(drop)
        })?;
        self.list("allowed_networks", |list| Networks::new(list).map(drop))?;
        self.limit()?;
        self.number("remaining_uses")?;
        record.version = required("version", self.number("version")?)?;
        self.instant("last_used_at")?;
        self.instant("expires_at")?;
        record.overlap_until = self.instant("overlap_until")?;
        record.replaced_by = self.id("replaced_by")?;
        record.ends_at_first_use = self.id("ends_at_first_use")?;
        record.suspended_with = self.id("suspended_with")?;
        self.id("lineage")?;
        let source = self
            .0
            .get("derived_from")
            .and_then(|from| from.get("key_id"));
        let source = source
            .and_then(Value::as_str)
            .and_then(|id| id.parse().ok());
        record.derived_from = source.map(|key_id| DerivedFrom::new(key_id, key_id));
        let reason = self.0.get("status").and_then(|status| status.get("reason"));
        if let Some(reason) = reason.and_then(Value::as_str) {
            let reason = reason.into();
            record.status = Status::Revoked {
                at: created,
                reason,
            };
        }
        record
            .check()
            .map_err(|error| Failure::from(error).in_json())
    }

    /// A value that is neither missing nor null.
    fn value(&self, field: &'static str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    fn text(&self, field: &'static str) -> Result<Option<&str>, Failure> {
        let text = |value: &'_ Value| value.as_str().map(str::len).ok_or(unexpected(field));
        self.value(field).map(text).transpose()?;
        Ok(self.value(field).and_then(Value::as_str))
    }

    fn number(&self, field: &'static str) -> Result<Option<u64>, Failure> {
        let number = |value: &Value| value.as_u64().ok_or(unexpected(field));
        self.value(field).map(number).transpose()
    }

    fn parsed<T>(
        &self,
        field: &'static str,
        parse: impl Fn(&str) -> Result<T, Error>,
    ) -> Result<Option<T>, Failure> {
        let parsed = self.text(field)?.map(parse).transpose();
        parsed.map_err(|error| Failure::from(error).in_field(field).in_json())
    }

    fn id(&self, field: &'static str) -> Result<Option<KeyId>, Failure> {
        self.parsed(field, KeyId::from_str)
    }

    fn instant(&self, field: &'static str) -> Result<Option<UnixMillis>, Failure> {
        let instant = self.number(field)?.map(UnixMillis::new).transpose();
        instant.map_err(|error| Failure::from(error).in_field(field).in_json())
    }

    fn list(
        &self,
        field: &'static str,
        check: impl Fn(Vec<&str>) -> Result<(), Error>,
    ) -> Result<(), Failure> {
        let Some(list) = self.value(field) else {
            return Ok(());
        };
        let items = list.as_array().ok_or(unexpected(field))?;
        let texts = items.iter().enumerate().map(|(index, item)| {
            let text = item.as_str();
            text.ok_or(unexpected(field).at(index))
        });
        let checked = check(texts.collect::<Result<_, _>>()?);
        checked.map_err(|error| Failure::from(error).in_field(field).in_json())
    }

    fn limit(&self) -> Result<(), Failure> {
        let Some(limit) = self.value("rate_limit") else {
            return Ok(());
        };
        let part = |name: &str| limit.get(name).and_then(Value::as_u64);
        let count = |name| part(name).and_then(|count| u32::try_from(count).ok());
        let parts = (count("limit"), part("window_ms"), count("burst"));
        let (Some(limit), Some(window), Some(burst)) = parts else {
            return Err(unexpected("rate_limit"));
        };
        let limit = RateLimit::with_burst(limit, Millis::new(window), burst);
        limit
            .map(drop)
            .map_err(|error| Failure::from(error).in_json())
    }
}

fn required<T>(field: &'static str, value: Option<T>) -> Result<T, Failure> {
    value.ok_or_else(|| unexpected(field))
}
