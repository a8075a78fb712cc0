//! A template by its name, or which names there are.

use keystile::{ScopeTemplate, TemplateName};
use keystile_store::{Store, StoreError, StoredTemplate, TemplateProblem, find_template};

use crate::config::Config;
use crate::failure::Failure;
use crate::nearest::nearest;

/// How many names a message has.
const NAMED_MAX: usize = 20;
/// How many names are compared with one that is unknown.
const COMPARED_MAX: usize = 200;

/// The template with this name. It needs no store to find a preset. `option` is what the message
/// begins with if there is none.
pub(crate) async fn find(
    config: &Config,
    name: &TemplateName,
    option: &str,
) -> Result<StoredTemplate, Failure> {
    if let Some(preset) = StoredTemplate::preset(name.as_str()) {
        return Ok(preset);
    }
    let known = match config.open_if_exists().await? {
        None => Vec::new(),
        Some(opened) => match find_template(&opened.store, name).await {
            Err(StoreError::Template(TemplateProblem::NotFound)) => names(&opened.store).await?,
            found => return Ok(found?),
        },
    };
    Err(unknown(name, option, &known))
}

/// As [`find`], if an option was given.
pub(crate) async fn find_for(
    config: &Config,
    name: Option<&TemplateName>,
) -> Result<Option<StoredTemplate>, Failure> {
    match name {
        None => Ok(None),
        Some(name) => find(config, name, "--template").await.map(Some),
    }
}

/// The names of the templates in the store, as far as a message has room for them.
pub(super) async fn names(store: &impl Store) -> Result<Vec<String>, StoreError> {
    let (mut names, mut after) = (Vec::new(), None);
    while names.len() < COMPARED_MAX {
        let page = store.list_templates(after.as_deref(), COMPARED_MAX).await?;
        let named = page.templates.iter();
        names.extend(named.map(|stored| stored.name().to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(names)
}

/// That there is no such template, which ones there are, and which one was probably meant.
pub(super) fn unknown(name: &TemplateName, option: &str, stored: &[String]) -> Failure {
    let presets: Vec<_> = ScopeTemplate::presets().map(|preset| preset.name).collect();
    let known = presets.iter().map(TemplateName::as_str);
    let known = known.chain(stored.iter().map(String::as_str));
    let meant = nearest(name.as_str(), known.clone());
    let meant = meant.map_or(String::new(), |meant| format!(" (did you mean {meant}?)"));
    let mut listed = known.clone().take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    if known.count() > NAMED_MAX {
        listed.push_str(", and others");
    }
    Failure::Message(format!("{option}: must be one of {listed}{meant}").into())
}
