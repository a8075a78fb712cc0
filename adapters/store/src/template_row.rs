//! Templates as columns of a row, in both databases.

use keystile::{EndpointRules, Millis, PermissionSet, ScopeTemplate, TemplateName, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::columns::number;
use crate::error::StoreError;
use crate::former_template::FormerTemplate;
use crate::instant;
use crate::row_reader::RowReader;
use crate::template::{DamagedTemplate, StoredTemplate, TemplateProblem};

/// The columns after the name, as text for every database.
pub(crate) struct TemplateRow {
    pub(crate) permissions: String,
    pub(crate) allowed_endpoints: Option<String>,
    pub(crate) rate_limit: Option<String>,
    pub(crate) rate_window_ms: Option<String>,
    pub(crate) rate_burst: Option<String>,
    pub(crate) lifetime_ms: Option<String>,
    pub(crate) former: String,
    pub(crate) version: String,
    pub(crate) created_at: String,
    pub(crate) changed_at: String,
}

/// An earlier state in the column `former`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormerRow<T> {
    /// In milliseconds since 1970.
    until: UnixMillis,
    template: T,
}

impl TemplateRow {
    /// The values of a template that may be stored.
    pub(crate) fn of(stored: &StoredTemplate) -> Result<Self, StoreError> {
        stored.check()?;
        let template = &stored.template;
        let limit = template.rate_limit;
        let burst = limit.filter(|limit| limit.burst() != limit.limit());
        let endpoints = template.allowed_endpoints.as_ref();
        let former = stored.former.iter().map(|former| FormerRow {
            until: former.until,
            template: &former.template,
        });
        let former: Vec<_> = former.collect();
        Ok(Self {
            permissions: json(&template.permissions)?,
            allowed_endpoints: endpoints.map(json).transpose()?,
            rate_limit: limit.map(|limit| limit.limit().to_string()),
            rate_window_ms: limit
                .map(|limit| number(limit.window().get()))
                .transpose()?,
            rate_burst: burst.map(|limit| limit.burst().to_string()),
            lifetime_ms: stored.lifetime.map(|it| number(it.get())).transpose()?,
            former: json(&former)?,
            version: number(stored.version)?,
            created_at: instant::format(stored.created_at),
            changed_at: instant::format(stored.changed_at),
        })
    }

    /// In the order in which they are written, the name first.
    pub(crate) fn values<'r>(&'r self, name: &'r TemplateName) -> [Option<&'r str>; 11] {
        [
            Some(name.as_str()),
            Some(&self.permissions),
            self.allowed_endpoints.as_deref(),
            self.rate_limit.as_deref(),
            self.rate_window_ms.as_deref(),
            self.rate_burst.as_deref(),
            self.lifetime_ms.as_deref(),
            Some(&self.former),
            Some(&self.version),
            Some(&self.created_at),
            Some(&self.changed_at),
        ]
    }
}

fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::unavailable)
}

/// The template in a row. A value that cannot be read is an error, and never one that grants
/// more.
pub(crate) fn read<R: RowReader>(row: &R) -> Result<StoredTemplate, StoreError> {
    whole(row).map_err(|error| damaged(row, error))
}

/// Its version, and when it was added.
pub(crate) fn version<R: RowReader>(row: &R) -> Result<(u64, UnixMillis), StoreError> {
    let version = row.required("version", row.count("version"));
    let created_at = row.required("created_at", row.time("created_at"));
    let read = version.and_then(|version| Ok((version, created_at?)));
    read.map_err(|error| damaged(row, error))
}

fn damaged<R: RowReader>(row: &R, error: StoreError) -> StoreError {
    match error {
        StoreError::Corrupt(damage) => {
            let name = row.named("name", TemplateName::new).ok().flatten();
            let damage = DamagedTemplate::new(name, damage.column, damage.expected);
            TemplateProblem::Damaged(damage).into()
        }
        other => other,
    }
}

fn whole<R: RowReader>(row: &R) -> Result<StoredTemplate, StoreError> {
    let name = row.required("name", row.named("name", TemplateName::new))?;
    let permissions: Option<PermissionSet> =
        row.list("permissions", "a JSON array of permissions")?;
    let permissions = row.required("permissions", Ok(permissions))?;
    let mut template = ScopeTemplate::new(name, permissions);
    template.allowed_endpoints =
        row.list::<EndpointRules>("allowed_endpoints", "a JSON array of endpoint rules")?;
    template.rate_limit = row.rate_limit()?;
    let created_at = row.required("created_at", row.time("created_at"))?;
    let lifetime = row.count("lifetime_ms")?.map(Millis::new);
    let mut stored = StoredTemplate::new(template, lifetime, created_at);
    stored.changed_at = row.required("changed_at", row.time("changed_at"))?;
    stored.version = row.required("version", row.count("version"))?;
    let former = "a JSON array of what the template was";
    let states: Option<Vec<FormerRow<ScopeTemplate>>> = row.list("former", former)?;
    let states = row.required("former", Ok(states))?.into_iter();
    let states = states.map(|state| FormerTemplate::new(state.template, state.until));
    stored.former = states.collect();
    match stored.check() {
        Ok(()) => Ok(stored),
        Err(StoreError::Template(_)) => Err(row.corrupt("name", "no name of a preset")),
        Err(_) if stored.version == 0 => {
            Err(row.corrupt("version", "a number that is 1 or greater"))
        }
        Err(_) if stored.lifetime == Some(Millis::ZERO) => {
            Err(row.corrupt("lifetime_ms", "a number that is 1 or greater"))
        }
        Err(_) => Err(row.corrupt("former", former)),
    }
}
