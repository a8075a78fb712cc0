//! The templates of a store in memory.

use core::ops::Bound;
use std::collections::BTreeMap;

use keystile::TemplateName;

use crate::error::StoreError;
use crate::template::{ListedTemplates, StoredTemplate, TEMPLATES_PAGE_MAX, TemplateProblem};

/// In the order of their names.
#[derive(Debug, Default)]
pub(super) struct Templates(BTreeMap<Box<str>, StoredTemplate>);

impl Templates {
    pub(super) fn find(&self, name: &TemplateName) -> Option<StoredTemplate> {
        self.0.get(name.as_str()).cloned()
    }

    pub(super) fn list(&self, after: Option<&str>, limit: usize) -> ListedTemplates {
        let limit = limit.min(TEMPLATES_PAGE_MAX);
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = self.0.range::<str, _>((start, Bound::Unbounded));
        let page: Vec<_> = page.take(limit).map(|(_, it)| it.clone()).collect();
        let last = page.last().filter(|_| page.len() == limit);
        let next = last.map(|last| last.name().to_string());
        ListedTemplates::of(page, next)
    }

    pub(super) fn save(&mut self, template: &StoredTemplate) -> Result<(), StoreError> {
        template.check()?;
        let name = template.name().as_str();
        match (template.version, self.0.get(name)) {
            (1, None) => {}
            (1, Some(_)) => return Err(TemplateProblem::Exists.into()),
            (version, Some(stored))
                if stored.version.checked_add(1) == Some(version)
                    && stored.created_at == template.created_at => {}
            _ => return Err(TemplateProblem::Stale.into()),
        }
        self.0.insert(name.into(), template.clone());
        Ok(())
    }

    pub(super) fn remove(
        &mut self,
        name: &TemplateName,
        only: Option<&StoredTemplate>,
    ) -> Result<(), StoreError> {
        let state = |it: &StoredTemplate| (it.version, it.created_at);
        match (self.0.get(name.as_str()), only) {
            (None, None) => return Err(TemplateProblem::NotFound.into()),
            (stored, Some(only)) if stored.map(state) != Some(state(only)) => {
                return Err(TemplateProblem::Stale.into());
            }
            _ => {}
        }
        self.0.remove(name.as_str());
        Ok(())
    }
}
