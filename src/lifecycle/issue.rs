//! Issuing a key: the text for its owner, the record for the store, the event for the audit.

use alloc::boxed::Box;

use rand_core::TryCryptoRng;

use crate::error::{Error, ErrorKind};
use crate::key::digest::PepperRing;
use crate::key::format::KeyFormat;
use crate::key::id::KeyId;
use crate::key::label::Environment;
use crate::key::text::ApiKey;
use crate::policy::endpoint::EndpointRules;
use crate::policy::network::Networks;
use crate::policy::permission::PermissionSet;
use crate::policy::rate_limit::RateLimit;
use crate::policy::template::ScopeTemplate;
use crate::record::event::{Event, EventKind};
use crate::record::key_record::{KeyRecord, METADATA_BYTES_MAX, short_text};
use crate::time::{Millis, UnixMillis};

/// Lifetime of a key whose request does not say another.
pub(crate) const LIFETIME: Millis = Millis::from_days(90);

/// What a new key is to be.
///
/// What is left out is the least: no permissions, and an end after 90 days. A key without
/// an end must be [asked for](Self::never_expires).
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
pub struct IssueRequest {
    pub(crate) client_name: Box<str>,
    pub(crate) client_email: Option<Box<str>>,
    pub(crate) owner: Option<Box<str>>,
    pub(crate) environment: Option<Environment>,
    pub(crate) template: Option<ScopeTemplate>,
    pub(crate) permissions: Option<PermissionSet>,
    pub(crate) endpoints: Option<EndpointRules>,
    pub(crate) networks: Option<Networks>,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) uses: Option<u64>,
    pub(crate) lifetime: Option<Lifetime>,
    pub(crate) metadata: Option<Box<str>>,
}

/// How long a key lives; "for ever" is a word of its own, never a missing number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    For(Millis),
    Ever,
}

impl IssueRequest {
    /// A request for a key of this client.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] if the name is empty, longer than 255 bytes, or has control
    /// characters.
    pub fn new(client_name: &str) -> Result<Self, Error> {
        let expected = "a client name is 1 to 255 bytes without control characters";
        let client_name = short_text(client_name, expected)?;
        if client_name.is_empty() {
            return Err(Error::new(ErrorKind::Record, expected));
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
            metadata: None,
        })
    }

    /// The address that notices go to.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] past 255 bytes or with control characters.
    pub fn email(mut self, email: &str) -> Result<Self, Error> {
        let expected = "an e-mail address is at most 255 bytes without control characters";
        self.client_email = Some(short_text(email, expected)?);
        Ok(self)
    }

    /// The account or tenant that the key belongs to.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] past 255 bytes or with control characters.
    pub fn owner(mut self, owner: &str) -> Result<Self, Error> {
        let expected = "an owner is at most 255 bytes without control characters";
        self.owner = Some(short_text(owner, expected)?);
        Ok(self)
    }

    /// The deployment that the key is for.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] if it is not an environment's name.
    pub fn environment(mut self, environment: &str) -> Result<Self, Error> {
        self.environment = Some(Environment::new(environment)?);
        Ok(self)
    }

    /// The template that the key gets its permissions, limit and endpoints from.
    ///
    /// What is asked for beside it must lie within it.
    #[must_use]
    pub fn template(mut self, template: ScopeTemplate) -> Self {
        self.template = Some(template);
        self
    }

    /// The permissions granted.
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

    /// How often the key may be used.
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// How many times the key may be used in all.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for 0 and beyond `i64::MAX`, which SQL cannot count.
    pub fn uses(mut self, uses: u64) -> Result<Self, Error> {
        if uses == 0 || uses > i64::MAX as u64 {
            return Err(Error::new(ErrorKind::Limit, "a count of uses is 1 or more"));
        }
        self.uses = Some(uses);
        Ok(self)
    }

    /// How long the key lives.
    ///
    /// # Errors
    /// [`ErrorKind::Time`] for no time at all.
    pub fn expires_in(mut self, lifetime: Millis) -> Result<Self, Error> {
        if lifetime.get() == 0 {
            return Err(Error::new(ErrorKind::Time, "a lifetime is 1 ms or more"));
        }
        self.lifetime = Some(Lifetime::For(lifetime));
        Ok(self)
    }

    /// A key without an end. It can still be revoked.
    #[must_use]
    pub fn never_expires(mut self) -> Self {
        self.lifetime = Some(Lifetime::Ever);
        self
    }

    /// JSON text of the caller's own.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] past 16 KiB.
    pub fn metadata(mut self, json: &str) -> Result<Self, Error> {
        if json.len() > METADATA_BYTES_MAX {
            return Err(Error::new(ErrorKind::Record, "metadata is at most 16 KiB"));
        }
        self.metadata = Some(json.into());
        Ok(self)
    }
}

/// A new key: show `key` once, keep `record` and `event`.
#[derive(Debug)]
#[non_exhaustive]
pub struct Issued {
    /// The key's text, for its owner alone.
    pub key: ApiKey,
    /// What a store keeps.
    pub record: KeyRecord,
    /// What an audit keeps.
    pub event: Event,
}

/// Issues a key.
///
/// # Errors
/// [`ErrorKind::Randomness`] if the source fails: there is no weaker key to fall back on.
/// [`ErrorKind::Exceeds`] if more is asked for than the template holds.
/// [`ErrorKind::Time`] if the lifetime ends after the year 9999.
/// [`ErrorKind::Format`] if the format reads any prefix, and so has none to write.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// let format = KeyFormat::structured("acme")?;
/// let request = IssueRequest::new("Acme Ltd")?.environment("live")?;
/// let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now)?;
/// assert_eq!(issued.key.expose().len(), "acme_live_".len() + 16 + 1 + 43 + 6);
/// assert_eq!(issued.record.digest, Digest::sha256(issued.key.expose().as_bytes()));
///
/// let monitoring = ScopeTemplate::preset("monitoring").unwrap();
/// let more = request.template(monitoring).permissions(["write"])?;
/// let refused = issue(&format, &PepperRing::none(), &more, &mut SysRng, now);
/// assert_eq!(refused.unwrap_err().kind(), ErrorKind::Exceeds);
/// # Ok::<(), Error>(())
/// ```
pub fn issue<R: TryCryptoRng + ?Sized>(
    format: &KeyFormat,
    peppers: &PepperRing,
    request: &IssueRequest,
    rng: &mut R,
    now: UnixMillis,
) -> Result<Issued, Error> {
    let template = request.template.as_ref();
    let exceeds = |within| {
        let expected = "a key from a template may hold no more than the template";
        if within {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Exceeds, expected))
        }
    };
    let permissions = request.permissions.as_ref();
    let endpoints = request.endpoints.as_ref();
    if let Some(template) = template {
        exceeds(permissions.is_none_or(|asked| template.permissions.covers(asked)))?;
        exceeds(endpoints.is_none_or(|asked| {
            template
                .allowed_endpoints
                .as_ref()
                .is_none_or(|held| held.covers(asked))
        }))?;
        exceeds(request.rate_limit.is_none_or(|asked| {
            template
                .rate_limit
                .is_none_or(|held| asked.is_within(&held))
        }))?;
    }
    let expires_at = match request.lifetime.unwrap_or(Lifetime::For(LIFETIME)) {
        Lifetime::For(lifetime) => Some(now.plus(lifetime)?),
        Lifetime::Ever => None,
    };

    let id = KeyId::random(rng)?;
    let (key, shown) = format.spell(&id, request.environment.as_ref(), rng)?;
    let digest = peppers.digest(key.expose().as_bytes());
    let mut record = KeyRecord::new(id, digest, &shown, &request.client_name, now)?;
    record.client_email.clone_from(&request.client_email);
    record.owner.clone_from(&request.owner);
    record.environment = request.environment;
    record.permissions = permissions
        .or(template.map(|t| &t.permissions))
        .cloned()
        .unwrap_or_default();
    record.allowed_endpoints = endpoints
        .or(template.and_then(|t| t.allowed_endpoints.as_ref()))
        .cloned();
    record.allowed_networks.clone_from(&request.networks);
    record.rate_limit = request.rate_limit.or(template.and_then(|t| t.rate_limit));
    record.remaining_uses = request.uses;
    record.scope_type = template.map(|t| t.name.clone());
    record.metadata.clone_from(&request.metadata);
    record.expires_at = expires_at;
    Ok(Issued {
        key,
        record,
        event: Event::new(EventKind::Issued, id, now),
    })
}
