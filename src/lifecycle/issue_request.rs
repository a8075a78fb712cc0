//! What a new key is to be.

use alloc::boxed::Box;

use crate::error::{Error, ErrorKind};
use crate::key::label::Environment;
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

/// Most uses of a key: what SQL's integers can count.
const USES_MAX: u64 = i64::MAX.unsigned_abs();

const LIFETIME: &str = "a lifetime must be 1 ms or more";

/// What a new key is to be.
///
/// Defaults are the most restrictive: no permissions, and an end after 90 days. A key that
/// never expires must be [asked for](Self::never_expires).
///
/// Setters take a value or an `Option` of it, so that optional input needs no `if`; `None`
/// is the default. Fields of checked types are public too.
///
/// ```
/// use keystile::{IssueRequest, Millis, ScopeTemplate};
/// let request = IssueRequest::new("Acme Ltd")?
///     .environment("live")?
///     .template(ScopeTemplate::preset("integration").unwrap())
///     .expires_in(Millis::from_days(30))?;
/// assert!(IssueRequest::new("").is_err() && request.environment("li-ve").is_err());
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssueRequest {
    /// The deployment that the key is for.
    pub environment: Option<Environment>,
    /// The template that the key gets its permissions, limit and endpoints from.
    pub template: Option<ScopeTemplate>,
    /// The permissions granted. `None` is those of the template, or none at all.
    pub permissions: Option<PermissionSet>,
    /// The endpoints that the key is restricted to. `None` is those of the template, or any.
    pub endpoints: Option<EndpointRules>,
    /// The networks that the key is restricted to.
    pub networks: Option<Networks>,
    /// The rate limit. `None` is that of the template, or unlimited.
    pub rate_limit: Option<RateLimit>,
    pub(crate) client_name: Box<str>,
    pub(crate) client_email: Option<Box<str>>,
    pub(crate) owner: Option<Box<str>>,
    pub(crate) uses: Option<u64>,
    pub(crate) lifetime: Option<Lifetime>,
    /// The lifetime if the request has none, by the policies that it was held to.
    pub(crate) default_lifetime: Option<Millis>,
    /// The longest lifetime, by the policies that it was held to.
    pub(crate) longest_lifetime: Option<Millis>,
    pub(crate) template_lifetime: Option<Millis>,
    pub(crate) metadata: Option<Box<str>>,
}

impl IssueRequest {
    /// A request for a key of this client.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] if the name is empty, longer than 255 bytes, or has control
    /// or invisible characters.
    pub fn new(client_name: &str) -> Result<Self, Error> {
        let client_name = short_text(client_name, "client_name", CLIENT_NAME)?;
        if client_name.is_empty() {
            return Err(Error::new(ErrorKind::Record, CLIENT_NAME).in_field("client_name"));
        }
        Ok(Self {
            client_name,
            client_email: None,
            owner: None,
            environment: None,
            template: None,
            permissions: None,
            endpoints: None,
            networks: None,
            rate_limit: None,
            uses: None,
            lifetime: None,
            default_lifetime: None,
            longest_lifetime: None,
            template_lifetime: None,
            metadata: None,
        })
    }

    /// The address that notices go to.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] if it is longer than 255 bytes or has control or invisible characters.
    pub fn email<'a>(mut self, email: impl Into<Option<&'a str>>) -> Result<Self, Error> {
        self.client_email = email
            .into()
            .map(|email| short_text(email, "client_email", EMAIL))
            .transpose()?;
        Ok(self)
    }

    /// The account or tenant that the key belongs to.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] if it is longer than 255 bytes or has control or invisible characters.
    pub fn owner<'a>(mut self, owner: impl Into<Option<&'a str>>) -> Result<Self, Error> {
        self.owner = owner
            .into()
            .map(|owner| short_text(owner, "owner", OWNER))
            .transpose()?;
        Ok(self)
    }

    /// The deployment that the key is for.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] if it is not an environment's name.
    pub fn environment<'a>(
        mut self,
        environment: impl Into<Option<&'a str>>,
    ) -> Result<Self, Error> {
        self.environment = environment.into().map(Environment::new).transpose()?;
        Ok(self)
    }

    /// The template that the key gets its permissions, limit and endpoints from.
    ///
    /// Other settings may only narrow it.
    #[must_use]
    pub fn template(mut self, template: impl Into<Option<ScopeTemplate>>) -> Self {
        self.template = template.into();
        self
    }

    /// The lifetime that goes with the template: of a key whose request has none, in place of the
    /// default of a [policy](Self::within). A policy's longest lifetime, and the end of the key
    /// that it derives from, shorten it. A request for a longer one is refused when the key is
    /// issued.
    ///
    /// ```
    /// # use keystile::*;
    /// # let now = UnixMillis::new(1_790_000_000_000)?;
    /// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
    /// let trial = ScopeTemplate::new(TemplateName::new("trial")?, PermissionSet::new(["read"])?);
    /// let request = IssueRequest::new("Acme Ltd")?.template(trial);
    /// let request = request.template_lifetime(Millis::from_days(14))?;
    /// let issued = issuer.issue(&request, &mut SysRng, now)?;
    /// assert_eq!(issued.record.lifetime, Some(Millis::from_days(14)));
    ///
    /// let refused = issuer.issue(&request.never_expires(), &mut SysRng, now);
    /// assert_eq!(refused.unwrap_err().kind(), ErrorKind::Exceeds);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Time`] if it is zero.
    pub fn template_lifetime(mut self, lifetime: impl Into<Option<Millis>>) -> Result<Self, Error> {
        self.template_lifetime = lifetime.into();
        if self.template_lifetime == Some(Millis::ZERO) {
            return Err(Error::new(ErrorKind::Time, LIFETIME).in_field("lifetime"));
        }
        Ok(self)
    }

    /// The permissions that are granted.
    ///
    /// # Errors
    /// As [`PermissionSet::new`].
    pub fn permissions<I>(mut self, permissions: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.permissions = Some(PermissionSet::new(permissions)?);
        Ok(self)
    }

    /// The endpoints that the key is restricted to.
    ///
    /// # Errors
    /// As [`EndpointRules::new`].
    pub fn endpoints<I>(mut self, rules: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.endpoints = Some(EndpointRules::new(rules)?);
        Ok(self)
    }

    /// The networks that the key is restricted to.
    ///
    /// # Errors
    /// As [`Networks::new`].
    pub fn networks<I>(mut self, networks: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.networks = Some(Networks::new(networks)?);
        Ok(self)
    }

    /// The key's rate limit.
    #[must_use]
    pub fn rate_limit(mut self, limit: impl Into<Option<RateLimit>>) -> Self {
        self.rate_limit = limit.into();
        self
    }

    /// How many times the key may be used in total.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for 0 and for more than `i64::MAX`, the largest integer in SQL.
    pub fn uses(mut self, uses: impl Into<Option<u64>>) -> Result<Self, Error> {
        self.uses = uses_in_range(uses.into())?;
        Ok(self)
    }

    /// How long the key lives. Its successors live as long, unless another lifetime is asked
    /// for.
    ///
    /// # Errors
    /// [`ErrorKind::Time`] if the lifetime is zero.
    pub fn expires_in(mut self, lifetime: impl Into<Option<Millis>>) -> Result<Self, Error> {
        self.lifetime = lifetime.into().map(Lifetime::For);
        if self.lifetime == Some(Lifetime::For(Millis::ZERO)) {
            return Err(Error::new(ErrorKind::Time, LIFETIME).in_field("lifetime"));
        }
        Ok(self)
    }

    /// A key that never expires. It can still be revoked.
    #[must_use]
    pub fn never_expires(mut self) -> Self {
        self.lifetime = Some(Lifetime::Ever);
        self
    }

    /// The request under a service's policy, which sets the lifetime if the request has none. Of
    /// several policies the shortest counts.
    ///
    /// # Errors
    /// [`ErrorKind::Time`] if the lifetime is longer than the policy's longest.
    pub fn within(mut self, policy: &LifetimePolicy) -> Result<Self, Error> {
        if let Some(asked) = self.lifetime {
            policy.check(asked)?;
        }
        let longest = [self.longest_lifetime, policy.longest()];
        self.longest_lifetime = longest.into_iter().flatten().min();
        let default = policy.default_lifetime();
        self.default_lifetime = Some(
            self.default_lifetime
                .map_or(default, |own| own.min(default)),
        );
        Ok(self)
    }

    /// Custom JSON text.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] if it is longer than 16 KiB.
    pub fn metadata<'a>(mut self, json: impl Into<Option<&'a str>>) -> Result<Self, Error> {
        let json = json.into();
        if json.is_some_and(|json| json.len() > METADATA_BYTES_MAX) {
            return Err(Error::new(ErrorKind::Record, METADATA).in_field("metadata"));
        }
        self.metadata = json.map(Box::from);
        Ok(self)
    }
}

pub(crate) fn uses_in_range(uses: Option<u64>) -> Result<Option<u64>, Error> {
    if uses.is_some_and(|uses| !(1..=USES_MAX).contains(&uses)) {
        return Err(Error::new(
            ErrorKind::Limit,
            "a count of uses must be 1 to 9223372036854775807",
        )
        .in_field("uses"));
    }
    Ok(uses)
}
