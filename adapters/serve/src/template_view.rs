//! Templates in JSON, as the service and the command line print them.

use keystile_store::StoredTemplate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::rfc3339::rfc3339;
use crate::view::Rate;

/// A template that keys can be issued from.
///
/// ```
/// use keystile_serve::TemplateView;
/// use keystile_store::StoredTemplate;
///
/// let monitoring = StoredTemplate::preset("monitoring").unwrap();
/// let json = serde_json::to_value(TemplateView::new(&monitoring))?;
/// assert_eq!((&json["name"], &json["preset"]), (&"monitoring".into(), &true.into()));
/// assert!(json["created_at"].is_null());
/// assert!(StoredTemplate::preset("root").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Serialize, ToSchema)]
pub struct TemplateView {
    name: String,
    /// Whether it is always there, and cannot be changed or removed.
    preset: bool,
    permissions: Vec<String>,
    /// Null: all. Empty: none.
    allowed_endpoints: Option<Vec<String>>,
    rate_limit: Option<Rate>,
    /// How long a key lives whose request has no lifetime, in milliseconds. Null: as long as one
    /// without a template.
    lifetime_ms: Option<u64>,
    /// Null for a preset.
    version: Option<u64>,
    created_at: Option<String>,
    changed_at: Option<String>,
}

impl TemplateView {
    /// The view of a template.
    #[must_use]
    pub fn new(stored: &StoredTemplate) -> Self {
        let template = &stored.template;
        let texts = |texts: &mut dyn Iterator<Item = &str>| texts.map(str::to_owned).collect();
        let own = (!stored.is_preset()).then_some(stored);
        Self {
            name: template.name.to_string(),
            preset: stored.is_preset(),
            permissions: texts(&mut template.permissions.iter()),
            allowed_endpoints: template
                .allowed_endpoints
                .as_ref()
                .map(|rules| texts(&mut rules.iter())),
            rate_limit: template.rate_limit.as_ref().map(Rate::new),
            lifetime_ms: stored.lifetime.map(|lifetime| lifetime.get()),
            version: own.map(|own| own.version),
            created_at: own.map(|own| rfc3339(own.created_at)),
            changed_at: own.map(|own| rfc3339(own.changed_at)),
        }
    }
}
