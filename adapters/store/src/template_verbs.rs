//! Finding, adding, changing and removing templates.

use keystile::{Millis, ScopeTemplate, TemplateName, UnixMillis};

use crate::error::StoreError;
use crate::store::Store;
use crate::template::{StoredTemplate, TemplateProblem};

/// The template with this name: a preset, which is in every store, or a stored one.
///
/// # Errors
/// [`TemplateProblem::NotFound`] if there is none, and [`TemplateProblem::Damaged`] if its row
/// cannot be read, in [`StoreError::Template`]; and as [`Store::template`].
pub async fn find_template<S: Store + ?Sized>(
    store: &S,
    name: &TemplateName,
) -> Result<StoredTemplate, StoreError> {
    if let Some(preset) = StoredTemplate::preset(name.as_str()) {
        return Ok(preset);
    }
    let found = store.template(name).await?;
    found.ok_or_else(|| TemplateProblem::NotFound.into())
}

/// Adds a template.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Millis, PermissionSet, ScopeTemplate};
/// # use keystile::{SysRng, TemplateName, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// use keystile_store::{add_template, find_template, save_issued, MemoryStore};
///
/// let store = MemoryStore::new();
/// let rights = ScopeTemplate::new(TemplateName::new("trial")?, PermissionSet::new(["read"])?);
/// add_template(&store, rights.clone(), Some(Millis::from_days(14)), now).await?;
/// assert!(add_template(&store, rights, None, now).await.is_err(), "it exists already");
///
/// let trial = find_template(&store, &TemplateName::new("trial")?).await?;
/// let request = trial.request(IssueRequest::new("Acme Ltd")?)?;
/// let issued = issuer.issue(&request, &mut SysRng, now)?;
/// save_issued(&store, &issued).await?;
/// assert_eq!(issued.record.lifetime, Some(Millis::from_days(14)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// [`TemplateProblem::Preset`] for the name of a preset and [`TemplateProblem::Exists`], in
/// [`StoreError::Template`]; and as [`Store::save_template`].
pub async fn add_template<S: Store + ?Sized>(
    store: &S,
    template: ScopeTemplate,
    lifetime: Option<Millis>,
    now: UnixMillis,
) -> Result<StoredTemplate, StoreError> {
    let added = StoredTemplate::new(template, lifetime, now);
    added.check()?;
    store.save_template(&added).await?;
    Ok(added)
}

/// Replaces a template by what `change` makes of it, if it is still as it was read. The keys that
/// were issued from it stay as they are: [`TemplateKeys`](crate::TemplateKeys) gives them its
/// rights. Nothing is written if nothing changes.
///
/// # Errors
/// [`TemplateProblem::Preset`] for a preset and [`TemplateProblem::Stale`], in
/// [`StoreError::Template`]; and as [`Store::save_template`].
pub async fn change_template<S: Store + ?Sized>(
    store: &S,
    read: &StoredTemplate,
    template: ScopeTemplate,
    lifetime: Option<Millis>,
    now: UnixMillis,
) -> Result<StoredTemplate, StoreError> {
    read.check()?;
    let changed = read.changed(template, lifetime, now);
    if changed.template == read.template && changed.lifetime == read.lifetime {
        return Ok(read.clone());
    }
    store.save_template(&changed).await?;
    Ok(changed)
}

/// Removes a template; with `only`, if it is still this one. The keys that were issued from it stay
/// as they are, and keep its name.
///
/// # Errors
/// [`TemplateProblem::Preset`] for a preset, [`TemplateProblem::NotFound`] and
/// [`TemplateProblem::Stale`], in [`StoreError::Template`]; and as [`Store::remove_template`].
pub async fn remove_template<S: Store + ?Sized>(
    store: &S,
    name: &TemplateName,
    only: Option<&StoredTemplate>,
) -> Result<(), StoreError> {
    if ScopeTemplate::preset(name.as_str()).is_some() {
        return Err(TemplateProblem::Preset.into());
    }
    store.remove_template(name, only).await
}
