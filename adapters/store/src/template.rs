//! A template in the store: what the keys that are issued from it may do, and what it was before.

use core::fmt;

use keystile::{IssueRequest, KeyRecord, Millis, ScopeTemplate, TemplateName, UnixMillis};

use crate::error::StoreError;
use crate::former_template::FormerTemplate;

/// How many earlier states of a template are kept.
pub const FORMER_TEMPLATES_MAX: usize = 16;

/// The maximum number of templates in a page. They are large: each has its earlier states.
pub const TEMPLATES_PAGE_MAX: usize = 50;

/// A template that is stored: the rights of the keys that are issued from it, how long they live,
/// and its earlier rights.
///
/// The presets are always there, are not stored, and cannot be replaced or removed.
///
/// ```
/// use keystile::{Millis, PermissionSet, RateLimit, ScopeTemplate, TemplateName, UnixMillis};
/// use keystile_store::StoredTemplate;
///
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let mut rights = ScopeTemplate::new(TemplateName::new("trial")?, PermissionSet::new(["read"])?);
/// let trial = StoredTemplate::new(rights.clone(), Some(Millis::from_days(14)), now);
/// assert!(trial.check().is_ok());
///
/// rights.rate_limit = Some(RateLimit::new(100, Millis::from_hours(1))?);
/// let changed = trial.changed(rights, None, now);
/// assert_eq!((changed.version, changed.former.len()), (2, 1));
/// assert_eq!((&changed.former[0].template, changed.former[0].until), (&trial.template, now));
///
/// let preset = ScopeTemplate::preset("admin").unwrap();
/// assert!(StoredTemplate::new(preset, None, now).check().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredTemplate {
    /// Its name, and the rights of its keys.
    pub template: ScopeTemplate,
    /// How long a key lives whose request has no lifetime; a request may ask for less. `None` is
    /// the default of the service, and any request.
    pub lifetime: Option<Millis>,
    /// What it was before, the latest last: at most [`FORMER_TEMPLATES_MAX`]. A key that is like
    /// one of them, and was issued before that one ended, has no rights of its own.
    pub former: Vec<FormerTemplate>,
    /// 1 when it is new, and one more after each change; 0 is a preset.
    pub version: u64,
    /// When it was added.
    pub created_at: UnixMillis,
    /// When it was changed for the last time.
    pub changed_at: UnixMillis,
}

impl StoredTemplate {
    /// A new template.
    #[must_use]
    pub const fn new(template: ScopeTemplate, lifetime: Option<Millis>, now: UnixMillis) -> Self {
        Self {
            template,
            lifetime,
            former: Vec::new(),
            version: 1,
            created_at: now,
            changed_at: now,
        }
    }

    /// The preset with this name: see [`ScopeTemplate::preset`]. Its version is 0, and its times
    /// mean nothing.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        let template = ScopeTemplate::preset(name)?;
        Some(Self {
            version: 0,
            ..Self::new(template, None, UnixMillis::MIN)
        })
    }

    /// The presets.
    pub fn presets() -> impl Iterator<Item = Self> {
        let names = ScopeTemplate::presets().map(|template| template.name);
        names.filter_map(|name| Self::preset(name.as_str()))
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &TemplateName {
        &self.template.name
    }

    /// Whether it is one of the presets.
    #[must_use]
    pub const fn is_preset(&self) -> bool {
        self.version == 0
    }

    /// The template with other rights and another lifetime, and the next version. Its name stays.
    #[must_use]
    pub fn changed(
        &self,
        template: ScopeTemplate,
        lifetime: Option<Millis>,
        now: UnixMillis,
    ) -> Self {
        let mut changed = self.clone();
        changed.template = template;
        changed.template.name = self.template.name.clone();
        changed.lifetime = lifetime;
        if changed.template != self.template {
            let is_other = |former: &FormerTemplate| former.template != self.template;
            changed.former.retain(is_other);
            let ended = FormerTemplate::new(self.template.clone(), now);
            changed.former.push(ended);
            let excess = changed.former.len().saturating_sub(FORMER_TEMPLATES_MAX);
            changed.former.drain(..excess);
        }
        changed.version = self.version.saturating_add(1);
        changed.changed_at = now;
        changed
    }

    /// Whether it can be stored: every store has to check this before it saves one.
    ///
    /// # Errors
    /// [`StoreError::Template`] if it has the name of a preset; [`StoreError::OutOfRange`] if its
    /// version is 0 or more than `i64::MAX`, its lifetime is 0, or it has too many earlier states
    /// or one of another name.
    pub fn check(&self) -> Result<(), StoreError> {
        if ScopeTemplate::preset(self.template.name.as_str()).is_some() {
            return Err(TemplateProblem::Preset.into());
        }
        let is_count = |number: u64| number > 0 && i64::try_from(number).is_ok();
        let names = self.former.iter().map(|former| &former.template.name);
        if is_count(self.version)
            && self
                .lifetime
                .is_none_or(|lifetime| is_count(lifetime.get()))
            && self.former.len() <= FORMER_TEMPLATES_MAX
            && names.into_iter().all(|name| *name == self.template.name)
        {
            Ok(())
        } else {
            Err(StoreError::OutOfRange)
        }
    }

    /// The request for a key of this template.
    ///
    /// # Errors
    /// As [`IssueRequest::template_lifetime`].
    pub fn request(&self, request: IssueRequest) -> Result<IssueRequest, keystile::Error> {
        let request = request.template(self.template.clone());
        request.template_lifetime(self.lifetime)
    }

    /// Whether a key may do no more than the template allows.
    pub(crate) fn holds(&self, key: &KeyRecord) -> bool {
        let mut most = key.clone();
        most.permissions.clone_from(&self.template.permissions);
        most.allowed_endpoints
            .clone_from(&self.template.allowed_endpoints);
        most.rate_limit = self.template.rate_limit;
        key.is_within(&most)
    }

    /// Whether a key is as an earlier state was, whenever it was issued.
    pub(crate) fn was_like(&self, key: &KeyRecord) -> bool {
        let mut states = self.former.iter().map(|former| &former.template);
        states.any(|state| Self::is_like(state, key))
    }

    /// Whether a key has exactly these rights.
    pub(crate) fn is_like(template: &ScopeTemplate, key: &KeyRecord) -> bool {
        key.permissions == template.permissions
            && key.rate_limit == template.rate_limit
            && key.allowed_endpoints == template.allowed_endpoints
    }
}

/// Why something cannot be done with a template.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use keystile::TemplateName;
/// use keystile_store::{find_template, MemoryStore, StoreError, TemplateProblem};
///
/// let store = MemoryStore::new();
/// assert!(find_template(&store, &TemplateName::new("monitoring")?).await?.is_preset());
/// let unknown = find_template(&store, &TemplateName::new("trial")?).await.unwrap_err();
/// assert!(matches!(unknown, StoreError::Template(TemplateProblem::NotFound)));
/// assert_eq!(unknown.to_string(), "there is no template with this name");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateProblem {
    /// There is none with this name.
    NotFound,
    /// One with this name exists already.
    Exists,
    /// It was changed or removed since it was read.
    Stale,
    /// It is one of the presets.
    Preset,
    /// Its row cannot be read.
    Damaged(DamagedTemplate),
}

impl fmt::Display for TemplateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "there is no template with this name",
            Self::Exists => "a template with this name exists already",
            Self::Stale => "the template was changed meanwhile; read it again",
            Self::Preset => {
                "monitoring, integration and admin are presets, which cannot be changed or removed"
            }
            Self::Damaged(damage) => {
                return write!(f, "the template's row is damaged: {damage}");
            }
        })
    }
}

/// Where the row of a template is damaged, and what was expected there; not what was found.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # #[cfg(feature = "sqlite")] {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("keys.db");
/// use keystile_store::{SqliteStore, Store};
///
/// let store = SqliteStore::open(&path)?;
/// store.migrate().await?;
/// let other_program = rusqlite::Connection::open(&path)?;
/// let sql = "INSERT INTO api_key_templates (name, permissions) VALUES ('pro', 'read')";
/// other_program.execute(sql, [])?;
///
/// let listed = store.list_templates(None, 9).await?;
/// assert!(listed.templates.is_empty());
/// let damage = &listed.damaged[0];
/// assert_eq!(damage.name.as_ref().unwrap().as_str(), "pro");
/// assert_eq!(damage.column, "permissions");
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedTemplate {
    /// The template, if its name can be read. With it, it can be removed.
    pub name: Option<TemplateName>,
    /// The column.
    pub column: &'static str,
    /// What was expected in it.
    pub expected: &'static str,
}

impl DamagedTemplate {
    /// Damage in the row of the template with this name.
    #[must_use]
    pub const fn new(
        name: Option<TemplateName>,
        column: &'static str,
        expected: &'static str,
    ) -> Self {
        Self {
            name,
            column,
            expected,
        }
    }
}

impl fmt::Display for DamagedTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "template {name}, ")?;
        }
        write!(f, "column {}: expected {}", self.column, self.expected)
    }
}

/// A page of templates, in the order of their names.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{PermissionSet, ScopeTemplate, TemplateName, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// use keystile_store::{MemoryStore, Store, StoredTemplate};
///
/// let store = MemoryStore::new();
/// for name in ["trial", "pro"] {
///     let rights = ScopeTemplate::new(TemplateName::new(name)?, PermissionSet::new(["read"])?);
///     store.save_template(&StoredTemplate::new(rights, None, now)).await?;
/// }
/// let first = store.list_templates(None, 1).await?;
/// assert_eq!(first.templates[0].name().as_str(), "pro");
/// let rest = store.list_templates(first.next.as_deref(), 9).await?;
/// assert_eq!(rest.templates[0].name().as_str(), "trial");
/// assert!(rest.next.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedTemplates {
    /// The templates, without the presets.
    pub templates: Vec<StoredTemplate>,
    /// The rows that cannot be read.
    pub damaged: Vec<DamagedTemplate>,
    /// Where the next page starts; `None` if this is the last one.
    pub next: Option<String>,
}

impl ListedTemplates {
    /// A page of templates that can all be read.
    #[must_use]
    pub const fn of(templates: Vec<StoredTemplate>, next: Option<String>) -> Self {
        Self {
            templates,
            damaged: Vec::new(),
            next,
        }
    }

    /// Adds a row, or the damage of one.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn add(
        &mut self,
        read: Result<StoredTemplate, StoreError>,
    ) -> Result<(), StoreError> {
        match read {
            Ok(template) => self.templates.push(template),
            Err(StoreError::Template(TemplateProblem::Damaged(damage))) => {
                self.damaged.push(damage)
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_says_where_it_is() {
        let damage = DamagedTemplate {
            name: TemplateName::new("pro").ok(),
            column: "permissions",
            expected: "a JSON array of permissions",
        };
        let text = damage.to_string();
        for part in ["pro", "permissions", "a JSON array"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
