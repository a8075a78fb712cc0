//! The version of a template that a batch relies on.

use keystile::{TemplateName, UnixMillis};

use crate::error::StoreError;
use crate::template::{StoredTemplate, TemplateProblem};

/// A version of a template, in [`Batch::template_unchanged`](crate::Batch::template_unchanged).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, PermissionSet, ScopeTemplate, SysRng};
/// # use keystile::{TemplateName, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// use keystile_store::{
///     add_template, change_template, Batch, MemoryStore, Store, StoreError, TemplateProblem,
///     TemplateVersion,
/// };
///
/// let store = MemoryStore::new();
/// let rights = ScopeTemplate::new(TemplateName::new("pro")?, PermissionSet::new(["read"])?);
/// let pro = add_template(&store, rights.clone(), None, now).await?;
/// let request = pro.request(IssueRequest::new("Acme")?)?;
/// let mut batch = Batch::of_issued(&issuer.issue(&request, &mut SysRng, now)?);
/// batch.template_unchanged = TemplateVersion::of(&pro);
///
/// let mut less = rights;
/// less.permissions = PermissionSet::new([""; 0])?;
/// change_template(&store, &pro, less, None, now).await?;
/// let refused = store.commit(&batch).await;
/// assert!(matches!(refused, Err(StoreError::Template(TemplateProblem::Stale))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TemplateVersion {
    /// Its name.
    pub name: TemplateName,
    /// Its version.
    pub version: u64,
    /// When it was added: one that was removed and added again has the same versions.
    pub created_at: UnixMillis,
}

impl TemplateVersion {
    /// The version of a template as it was read. `None` for a preset, which never changes.
    #[must_use]
    pub fn of(template: &StoredTemplate) -> Option<Self> {
        (!template.is_preset()).then(|| Self {
            name: template.name().clone(),
            version: template.version,
            created_at: template.created_at,
        })
    }

    /// Whether this is what a store has, which is `None` if it has no such template.
    pub(crate) fn require(&self, stored: Option<(u64, UnixMillis)>) -> Result<(), StoreError> {
        match stored == Some((self.version, self.created_at)) {
            true => Ok(()),
            false => Err(TemplateProblem::Stale.into()),
        }
    }
}
