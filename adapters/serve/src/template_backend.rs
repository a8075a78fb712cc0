//! What the routes need of a store's templates.

use keystile::{Millis, ScopeTemplate, TemplateName, UnixMillis};
use keystile_store::{
    Authenticator, Filter, ListedTemplates, Page, Store, StoredTemplate, TemplateKeys,
    add_template, change_template, find_template, remove_template,
};

use crate::backend::Soon;

/// Templates, without the type of the store.
pub(crate) trait TemplateBackend: Send + Sync + 'static {
    fn template<'a>(&'a self, name: &'a TemplateName) -> Soon<'a, StoredTemplate>;
    fn list_templates<'a>(
        &'a self,
        after: Option<&'a str>,
        limit: usize,
    ) -> Soon<'a, ListedTemplates>;
    /// Adds a template, or replaces the one that was read.
    fn save_template<'a>(
        &'a self,
        read: Option<&'a StoredTemplate>,
        template: ScopeTemplate,
        lifetime: Option<Millis>,
        now: UnixMillis,
    ) -> Soon<'a, StoredTemplate>;
    fn remove_template<'a>(&'a self, read: &'a StoredTemplate) -> Soon<'a, ()>;
    fn template_keys<'a>(
        &'a self,
        template: &'a StoredTemplate,
        filter: &'a Filter,
        page: Page,
        now: UnixMillis,
    ) -> Soon<'a, TemplateKeys>;
}

impl<S: Store + 'static> TemplateBackend for Authenticator<S> {
    fn template<'a>(&'a self, name: &'a TemplateName) -> Soon<'a, StoredTemplate> {
        Box::pin(find_template(&**self.store(), name))
    }

    fn list_templates<'a>(
        &'a self,
        after: Option<&'a str>,
        limit: usize,
    ) -> Soon<'a, ListedTemplates> {
        Box::pin(self.store().list_templates(after, limit))
    }

    fn save_template<'a>(
        &'a self,
        read: Option<&'a StoredTemplate>,
        template: ScopeTemplate,
        lifetime: Option<Millis>,
        now: UnixMillis,
    ) -> Soon<'a, StoredTemplate> {
        Box::pin(async move {
            let store = &**self.store();
            match read {
                Some(read) => change_template(store, read, template, lifetime, now).await,
                None => add_template(store, template, lifetime, now).await,
            }
        })
    }

    fn remove_template<'a>(&'a self, read: &'a StoredTemplate) -> Soon<'a, ()> {
        Box::pin(remove_template(&**self.store(), read.name(), Some(read)))
    }

    fn template_keys<'a>(
        &'a self,
        template: &'a StoredTemplate,
        filter: &'a Filter,
        page: Page,
        now: UnixMillis,
    ) -> Soon<'a, TemplateKeys> {
        Box::pin(TemplateKeys::of(
            &**self.store(),
            template,
            filter,
            page,
            now,
        ))
    }
}
