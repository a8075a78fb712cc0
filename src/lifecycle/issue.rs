//! Issuing a key: the text for its owner, the record for the store, the event for the audit.

use rand_core::TryCryptoRng;

use crate::error::{Error, ErrorKind};
use crate::key::digest::PepperRing;
use crate::key::format::KeyFormat;
use crate::key::id::KeyId;
use crate::key::text::ApiKey;
use crate::lifecycle::issue_request::IssueRequest;
use crate::lifecycle::lifetime::{Lifetime, LifetimePolicy};
use crate::record::event::{Event, EventKind};
use crate::record::key_record::KeyRecord;
use crate::record::within::is_narrower;
use crate::time::UnixMillis;

/// A new key: show `key` once, keep `record` and `event`.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// assert!(issued.key.expose().starts_with("acme_1"));
/// assert_eq!(issued.record.expires_at, Some(now.plus(Millis::from_days(90))?));
/// assert_eq!(issued.event.kind, EventKind::Issued);
/// assert!(!format!("{issued:?}").contains(issued.key.expose()), "a log does not get the key");
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Issued {
    /// The key's text, only for its owner.
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
/// [`ErrorKind::Exceeds`] if the request exceeds the template, or its lifetime.
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
    let exceeds = |field, within| {
        let expected = "a key must not exceed its template";
        if within {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Exceeds, expected).in_field(field))
        }
    };
    let permissions = request.permissions.as_ref();
    let endpoints = request.endpoints.as_ref();
    if let Some(template) = template {
        exceeds(
            "permissions",
            permissions.is_none_or(|asked| template.permissions.covers(asked)),
        )?;
        exceeds(
            "allowed_endpoints",
            endpoints.is_none_or(|asked| {
                template
                    .allowed_endpoints
                    .as_ref()
                    .is_none_or(|held| held.covers(asked))
            }),
        )?;
        exceeds(
            "rate_limit",
            request.rate_limit.is_none_or(|asked| {
                template
                    .rate_limit
                    .is_none_or(|held| asked.is_within(&held))
            }),
        )?;
    }
    let usual = LifetimePolicy::DEFAULT.default_lifetime();
    let usual = request.default_lifetime.unwrap_or(usual);
    let default = match (request.template_lifetime, request.longest_lifetime) {
        (Some(own), Some(longest)) => own.min(longest),
        (Some(own), None) => own,
        (None, _) => usual,
    };
    let lifetime = request.lifetime.unwrap_or(Lifetime::For(default)).length();
    exceeds(
        "lifetime",
        is_narrower(&lifetime, &request.template_lifetime, PartialOrd::le),
    )?;
    let expires_at = lifetime.map(|length| now.plus(length)).transpose()?;

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
    record.lifetime = lifetime;
    Ok(Issued {
        key,
        event: Event::new(EventKind::Issued, id, now).with_version(record.version),
        record,
    })
}
