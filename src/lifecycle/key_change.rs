//! What is to be changed of a key.

use alloc::boxed::Box;

use crate::error::{Error, ErrorKind};
use crate::lifecycle::issue_request::uses_in_range;
use crate::lifecycle::lifetime::{Lifetime, LifetimePolicy};
use crate::policy::endpoint::EndpointRules;
use crate::policy::network::Networks;
use crate::policy::permission::PermissionSet;
use crate::policy::rate_limit::RateLimit;
use crate::policy::template::ScopeTemplate;
use crate::record::key_record::{
    CLIENT_NAME, EMAIL, METADATA, METADATA_BYTES_MAX, OWNER, short_text,
};
use crate::time::Millis;

/// What is to be changed of a key, for [`change`](crate::change()).
///
/// What is not named stays as it is. A setter that takes an `Option` clears the field with
/// `None`; without endpoints, networks, a rate limit or a count of uses the key is *not
/// restricted* by them, so clearing one gives it more. An empty list allows nothing.
///
/// ```
/// use keystile::{KeyChange, Millis, RateLimit};
/// let upgrade = KeyChange::new()
///     .client_name("Acme Ltd, pro plan")?
///     .rate_limit(RateLimit::new(5_000, Millis::from_hours(1))?)
///     .uses(None)? // not counted any more
///     .expires_in(Millis::from_days(365))?;
/// assert!(KeyChange::new().client_name("").is_err() && upgrade.uses(0).is_err());
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    pub(crate) client_name: Option<Box<str>>,
    pub(crate) client_email: Edit<Box<str>>,
    pub(crate) owner: Edit<Box<str>>,
    pub(crate) permissions: Option<PermissionSet>,
    pub(crate) added: Option<PermissionSet>,
    pub(crate) removed: Option<PermissionSet>,
    pub(crate) endpoints: Edit<EndpointRules>,
    pub(crate) networks: Edit<Networks>,
    pub(crate) rate_limit: Edit<RateLimit>,
    pub(crate) uses: Edit<u64>,
    /// `Clear` is a key that never expires.
    pub(crate) lifetime: Edit<Millis>,
    pub(crate) template: Edit<ScopeTemplate>,
    pub(crate) metadata: Edit<Box<str>>,
}

/// What happens to a field that may be unset.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Edit<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T: Clone> Edit<T> {
    pub(crate) fn apply(&self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value.clone()),
        }
    }
}

impl<T> Edit<T> {
    fn to(value: Option<T>) -> Self {
        value.map_or(Self::Clear, Self::Set)
    }
}

impl KeyChange {
    /// A change of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The client's name.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] if it is empty, longer than 255 bytes, or has control or invisible characters.
    pub fn client_name(mut self, name: &str) -> Result<Self, Error> {
        if name.is_empty() {
            return Err(Error::new(ErrorKind::Record, CLIENT_NAME).in_field("client_name"));
        }
        self.client_name = Some(short_text(name, "client_name", CLIENT_NAME)?);
        Ok(self)
    }

    /// The address that notices go to.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] if it is longer than 255 bytes or has control or invisible characters.
    pub fn email<'a>(mut self, email: impl Into<Option<&'a str>>) -> Result<Self, Error> {
        let email = email
            .into()
            .map(|email| short_text(email, "client_email", EMAIL));
        self.client_email = Edit::to(email.transpose()?);
        Ok(self)
    }

    /// The account or tenant that the key belongs to.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] if it is longer than 255 bytes or has control or invisible characters.
    pub fn owner<'a>(mut self, owner: impl Into<Option<&'a str>>) -> Result<Self, Error> {
        let owner = owner.into().map(|owner| short_text(owner, "owner", OWNER));
        self.owner = Edit::to(owner.transpose()?);
        Ok(self)
    }

    /// All permissions of the key.
    #[must_use]
    pub fn permissions(mut self, all: PermissionSet) -> Self {
        self.permissions = Some(all);
        self
    }

    /// Permissions that the key gets in addition.
    #[must_use]
    pub fn add_permissions(mut self, more: PermissionSet) -> Self {
        self.added = Some(more);
        self
    }

    /// Permissions that are taken from the key: each must be one of its own, spelled as it was
    /// granted. `invoices:read` is not removed from a key that has `invoices:*`.
    #[must_use]
    pub fn remove_permissions(mut self, some: PermissionSet) -> Self {
        self.removed = Some(some);
        self
    }

    /// The endpoints that the key is restricted to. `None`: any.
    #[must_use]
    pub fn endpoints(mut self, rules: impl Into<Option<EndpointRules>>) -> Self {
        self.endpoints = Edit::to(rules.into());
        self
    }

    /// The networks that the key is restricted to. `None`: any.
    #[must_use]
    pub fn networks(mut self, networks: impl Into<Option<Networks>>) -> Self {
        self.networks = Edit::to(networks.into());
        self
    }

    /// The rate limit. `None`: unlimited.
    #[must_use]
    pub fn rate_limit(mut self, limit: impl Into<Option<RateLimit>>) -> Self {
        self.rate_limit = Edit::to(limit.into());
        self
    }

    /// How many times the key, and each other key of its lineage, may be used from now on.
    /// `None`: not counted.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for 0 and for more than `i64::MAX`. Suspend a key that is not to be
    /// used.
    pub fn uses(mut self, uses: impl Into<Option<u64>>) -> Result<Self, Error> {
        self.uses = Edit::to(uses_in_range(uses.into())?);
        Ok(self)
    }

    /// How long the key lives, from the change on.
    ///
    /// # Errors
    /// [`ErrorKind::Time`] if the lifetime is zero. Revoke a key that is to end now.
    pub fn expires_in(mut self, lifetime: Millis) -> Result<Self, Error> {
        if lifetime == Millis::ZERO {
            return Err(
                Error::new(ErrorKind::Time, "a lifetime must be 1 ms or more").in_field("lifetime"),
            );
        }
        self.lifetime = Edit::Set(lifetime);
        Ok(self)
    }

    /// The key never expires. It can still be revoked.
    #[must_use]
    pub fn never_expires(mut self) -> Self {
        self.lifetime = Edit::Clear;
        self
    }

    /// The change under a service's policy. A key that lives longer than the policy allows
    /// keeps its end, unless the change sets another.
    ///
    /// # Errors
    /// [`ErrorKind::Time`] if the lifetime is longer than the policy's longest.
    pub fn within(self, policy: &LifetimePolicy) -> Result<Self, Error> {
        match self.lifetime {
            Edit::Keep => {}
            Edit::Clear => policy.check(Lifetime::Ever)?,
            Edit::Set(lifetime) => policy.check(Lifetime::For(lifetime))?,
        }
        Ok(self)
    }

    /// A template: the key gets its permissions, limit and endpoints, which other settings of
    /// this change may only narrow. `None` clears the template's name, and leaves the rights as
    /// they are.
    #[must_use]
    pub fn template(mut self, template: impl Into<Option<ScopeTemplate>>) -> Self {
        self.template = Edit::to(template.into());
        self
    }

    /// Custom JSON text, which replaces all of the metadata.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] if it is longer than 16 KiB.
    pub fn metadata<'a>(mut self, json: impl Into<Option<&'a str>>) -> Result<Self, Error> {
        let json = json.into();
        if json.is_some_and(|json| json.len() > METADATA_BYTES_MAX) {
            return Err(Error::new(ErrorKind::Record, METADATA).in_field("metadata"));
        }
        self.metadata = Edit::to(json.map(Box::from));
        Ok(self)
    }

    /// Whether the remaining uses are set or cleared. They belong to the lineage, and a store
    /// keeps them apart from the record.
    #[must_use]
    pub const fn sets_uses(&self) -> bool {
        !matches!(self.uses, Edit::Keep)
    }
}
