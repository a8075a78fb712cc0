//! The filters of `keystile list` and `keystile export`, which apply together.

use clap::Args;
use keystile::{Environment, Millis, TemplateName, UnixMillis};
use keystile_store::{Filter, KeyStatus};

use crate::duration::duration;
use crate::values;

/// Which keys, by what they have in common.
#[derive(Args, Debug)]
pub(crate) struct FilterArguments {
    /// Only keys of this owner.
    #[arg(long, value_name = "OWNER", value_parser = values::owner)]
    owner: Option<String>,
    /// Only keys of this client.
    #[arg(long, value_name = "NAME", value_parser = values::client)]
    client: Option<String>,
    /// Only keys with this status now.
    #[arg(long, value_name = "STATUS", value_parser = values::status)]
    status: Option<KeyStatus>,
    /// Only keys of this environment.
    #[arg(long, value_name = "E", visible_alias = "environment", value_parser = values::environment)]
    env: Option<Environment>,
    /// Only keys that were issued from a template with this name.
    #[arg(long, value_name = "T", value_parser = values::template)]
    template: Option<TemplateName>,
    /// Only keys whose id begins with this text.
    #[arg(long, value_name = "TEXT", value_parser = values::id_prefix)]
    id_prefix: Option<String>,
    /// Only keys that have not ended, and end within this time.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires_within: Option<Millis>,
    /// Only keys that were issued longer ago than this, and not used since.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    unused_for: Option<Millis>,
    /// Only keys that were issued on this day or at this instant, or later.
    #[arg(long, value_name = "DATE", value_parser = values::instant)]
    issued_since: Option<UnixMillis>,
    /// Only keys that were issued before this day or instant.
    #[arg(long, value_name = "DATE", value_parser = values::instant)]
    issued_until: Option<UnixMillis>,
}

impl FilterArguments {
    /// The filter; times are before and after now.
    pub(crate) fn filter(&self, now: UnixMillis) -> Filter {
        let mut filter = Filter::default();
        filter.owner = self.owner.as_deref().map(Box::from);
        filter.client_name = self.client.as_deref().map(Box::from);
        filter.status = self.status.map(|status| (status, now));
        filter.environment = self.env;
        filter.template = self.template.clone();
        filter.id_prefix = self.id_prefix.as_deref().map(Box::from);
        filter.ending = self
            .expires_within
            .map(|span| (now, now.plus(span).unwrap_or(UnixMillis::MAX)));
        filter.unused_since = self.unused_for.map(|span| {
            let since = now.get().saturating_sub(span.get());
            UnixMillis::new(since).unwrap_or(UnixMillis::MIN)
        });
        filter.issued_from = self.issued_since;
        filter.issued_before = self.issued_until;
        filter
    }
}
