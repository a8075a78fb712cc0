//! Named bundles of what a key may do.

use crate::error::Error;
use crate::key::label::TemplateName;
use crate::policy::endpoint::EndpointRules;
use crate::policy::permission::PermissionSet;
use crate::policy::rate_limit::RateLimit;
use crate::time::Millis;

/// A named set of permissions, with a rate limit and endpoint rules.
///
/// A key that is issued from a template gets exactly these, or less if the request asks
/// for less. Asking for more is an error.
///
/// ```
/// use keystile::ScopeTemplate;
/// let monitoring = ScopeTemplate::preset("monitoring").unwrap();
/// assert!(monitoring.permissions.grants("read"));
/// assert!(!monitoring.permissions.grants("write"));
/// assert!(ScopeTemplate::preset("root").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScopeTemplate {
    /// The name, which a record keeps as `scope_type`.
    pub name: TemplateName,
    /// The permissions that are granted.
    pub permissions: PermissionSet,
    /// The rate limit; `None` means unlimited.
    pub rate_limit: Option<RateLimit>,
    /// The endpoint rules; `None` means that endpoints are not restricted.
    pub allowed_endpoints: Option<EndpointRules>,
}

/// The three presets: permissions, requests per hour, endpoints.
const PRESETS: [(&str, &[&str], u32, &str); 3] = [
    ("monitoring", &["read"], 100, "/api/metrics/*"),
    ("integration", &["read", "write"], 1_000, "/api/data/*"),
    ("admin", &["read", "write", "delete", "admin"], 5_000, "/*"),
];

impl ScopeTemplate {
    /// A template that grants `permissions`, without a limit or restriction.
    #[must_use]
    pub const fn new(name: TemplateName, permissions: PermissionSet) -> Self {
        Self {
            name,
            permissions,
            rate_limit: None,
            allowed_endpoints: None,
        }
    }

    /// The presets: `monitoring`, `integration` and `admin`.
    pub fn presets() -> impl Iterator<Item = Self> {
        // Each preset is well formed; a test ensures that none is dropped here.
        PRESETS.iter().filter_map(|preset| Self::build(preset).ok())
    }

    /// The names of the presets.
    pub fn preset_names() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|(name, ..)| *name)
    }

    /// The preset with this name.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        Self::presets().find(|template| template.name.as_str() == name)
    }

    fn build(
        (name, permissions, per_hour, endpoint): &(&str, &[&str], u32, &str),
    ) -> Result<Self, Error> {
        let mut template = Self::new(TemplateName::new(name)?, PermissionSet::new(*permissions)?);
        template.rate_limit = Some(RateLimit::new(*per_hour, Millis::from_hours(1))?);
        template.allowed_endpoints = Some(EndpointRules::new([endpoint])?);
        Ok(template)
    }
}
