//! Changes of a key: the record that is written, the fields of the event, and refusals.

use keystile::{
    EndpointRules, Error, Event, KeyChange, KeyId, KeyRecord, Millis, Networks, PermissionSet,
    RateLimit, UnixMillis, change,
};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::vectors::case::replay;
use crate::vectors::form::snake;
use crate::vectors::grants::Template;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    record: KeyRecord,
    change: Ask,
    now: UnixMillis,
}

/// A field that is missing is not changed, and one that is null is cleared.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Ask {
    client_name: Option<String>,
    #[serde(deserialize_with = "nullable")]
    client_email: Option<Option<String>>,
    #[serde(deserialize_with = "nullable")]
    owner: Option<Option<String>>,
    permissions: Option<Vec<String>>,
    add_permissions: Option<Vec<String>>,
    remove_permissions: Option<Vec<String>>,
    #[serde(deserialize_with = "nullable")]
    endpoints: Option<Option<Vec<String>>>,
    #[serde(deserialize_with = "nullable")]
    networks: Option<Option<Vec<String>>>,
    #[serde(deserialize_with = "nullable")]
    rate_limit: Option<Option<Rate>>,
    #[serde(deserialize_with = "nullable")]
    uses: Option<Option<u64>>,
    expires_in_ms: Option<u64>,
    never_expires: Option<bool>,
    #[serde(deserialize_with = "nullable")]
    template: Option<Option<Template>>,
    #[serde(deserialize_with = "nullable")]
    metadata: Option<Option<String>>,
}

/// A limit that need not be well formed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    limit: u32,
    window_ms: u64,
    burst: u32,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Outcome {
    record: Option<Value>,
    event: Option<Noted>,
    error: Option<String>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Noted {
    kind: String,
    key_id: Option<KeyId>,
    at: UnixMillis,
    version: Option<u64>,
    changes: Vec<Field>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Field {
    field: String,
    from: Option<String>,
    to: Option<String>,
}

#[test]
fn p4_k10_changes() {
    replay("change.json", |name, input: Input| {
        let Input { record, now, .. } = input;
        let requested = input.change.made();
        let altered = requested.as_ref().map(|asked| asked.alters(&record, now));
        match requested
            .clone()
            .and_then(|asked| change(&record, &asked, now))
        {
            Ok(changed) => {
                assert_eq!(altered, Ok(Ok(true)), "{name}");
                Outcome {
                    record: Some(serde_json::to_value(&changed.record).unwrap()),
                    event: Some(Noted::of(&changed.event)),
                    error: None,
                }
            }
            Err(error) => {
                assert_ne!(altered, Ok(Ok(true)), "{name}");
                Outcome {
                    record: None,
                    event: None,
                    error: Some(snake(error.kind())),
                }
            }
        }
    });
}

impl Ask {
    fn made(&self) -> Result<KeyChange, Error> {
        // In the order of the other languages, which make these values first.
        let mut change = KeyChange::new();
        if let Some(all) = &self.permissions {
            change = change.permissions(PermissionSet::new(all)?);
        }
        if let Some(more) = &self.add_permissions {
            change = change.add_permissions(PermissionSet::new(more)?);
        }
        if let Some(some) = &self.remove_permissions {
            change = change.remove_permissions(PermissionSet::new(some)?);
        }
        if let Some(rules) = &self.endpoints {
            change = change.endpoints(rules.as_ref().map(EndpointRules::new).transpose()?);
        }
        if let Some(networks) = &self.networks {
            change = change.networks(networks.as_ref().map(Networks::new).transpose()?);
        }
        if let Some(limit) = &self.rate_limit {
            change = change.rate_limit(limit.as_ref().map(Rate::made).transpose()?);
        }
        if let Some(template) = &self.template {
            change = change.template(template.as_ref().map(Template::made));
        }
        if let Some(name) = &self.client_name {
            change = change.client_name(name)?;
        }
        if let Some(email) = &self.client_email {
            change = change.email(email.as_deref())?;
        }
        if let Some(owner) = &self.owner {
            change = change.owner(owner.as_deref())?;
        }
        if let Some(json) = &self.metadata {
            change = change.metadata(json.as_deref())?;
        }
        if let Some(uses) = self.uses {
            change = change.uses(uses)?;
        }
        if let Some(span) = self.expires_in_ms {
            change = change.expires_in(Millis::new(span))?;
        }
        if self.never_expires == Some(true) {
            change = change.never_expires();
        }
        Ok(change)
    }
}

impl Rate {
    fn made(&self) -> Result<RateLimit, Error> {
        RateLimit::with_burst(self.limit, Millis::new(self.window_ms), self.burst)
    }
}

impl Noted {
    fn of(event: &Event) -> Self {
        let text = |value: &Option<Box<str>>| value.as_deref().map(str::to_owned);
        let changes = event.changes.iter().map(|one| Field {
            field: one.field.to_string(),
            from: text(&one.from),
            to: text(&one.to),
        });
        Self {
            kind: snake(event.kind),
            key_id: event.key_id,
            at: event.at,
            version: event.version,
            changes: changes.collect(),
        }
    }
}

/// A value that may be null, which is not the same as one that is missing.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}
