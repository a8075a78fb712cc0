//! What a template was before.

use keystile::{KeyRecord, ScopeTemplate, UnixMillis};

use crate::template::StoredTemplate;

/// An earlier state of a template, and when it ended.
///
/// ```
/// # use keystile::{PermissionSet, ScopeTemplate, TemplateName};
/// use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// use keystile_store::FormerTemplate;
///
/// # let rights = ScopeTemplate::new(TemplateName::new("pro")?, PermissionSet::new(["read"])?);
/// let [before, until, after] = [20_700, 20_701, 20_702].map(|day| UnixMillis::new(day * 86_400_000).unwrap());
/// let former = FormerTemplate::new(rights.clone(), until);
///
/// let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// let request = IssueRequest::new("Acme")?.template(rights);
/// let old = issuer.issue(&request, &mut SysRng, before)?.record;
/// assert!(former.gave(&old, old.created_at));
/// // These rights were chosen for it: the template gave others by then.
/// let chosen = issuer.issue(&request, &mut SysRng, after)?.record;
/// assert!(!former.gave(&chosen, chosen.created_at));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FormerTemplate {
    /// What it was.
    pub template: ScopeTemplate,
    /// When it was changed.
    pub until: UnixMillis,
}

impl FormerTemplate {
    /// What a template was until then.
    #[must_use]
    pub const fn new(template: ScopeTemplate, until: UnixMillis) -> Self {
        Self { template, until }
    }

    /// Whether a key that was issued at an instant has its rights from this state: it has exactly
    /// these, and was issued before the state ended. A rotated key was issued when the first of its
    /// lineage was.
    #[must_use]
    pub fn gave(&self, key: &KeyRecord, issued: UnixMillis) -> bool {
        issued < self.until && StoredTemplate::is_like(&self.template, key)
    }
}
