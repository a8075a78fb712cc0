//! Issuing a key, and deriving one from another.

use core::mem::MaybeUninit;

use keystile::{IssueRequest, Millis, SysRng, TryCryptoRng, TryRng, delegate, issue};

use crate::boundary::{begins_with_its_size, bytes, non_null, sized};
use crate::change::keystile_change;
use crate::endpoint::keystile_endpoints;
use crate::error::{Failure, OfField as _, guard_saying, keystile_error};
use crate::flags::{both, flag, number, rate_limit};
use crate::format::keystile_format;
use crate::lifetime::{keystile_lifetime_policy, policy_of};
use crate::limit::keystile_rate_limit;
use crate::network::keystile_networks;
use crate::pepper::{keystile_peppers, ring};
use crate::permission::keystile_permissions;
use crate::record::keystile_record;
use crate::status::keystile_status;
use crate::template::keystile_template;
use crate::text::{instant, keystile_str};

/// What a new key is to be. The defaults are the most restrictive: no permissions, and
/// expiry after 90 days. A value without its flag, a flag other than 0 and 1, and a lifetime of
/// a key that never expires are `KEYSTILE_ERROR_VALUE`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_issue_request<'a> {
    /// `sizeof(keystile_issue_request)`.
    pub struct_size: usize,
    /// The client that the key belongs to, for people: 1 to 255 bytes.
    pub client_name: keystile_str,
    /// Optional: the address to send notices to.
    pub client_email: keystile_str,
    /// Optional: the account or tenant that the key belongs to.
    pub owner: keystile_str,
    /// Optional: the deployment that the key is for, 1 to 12 of a-z and 0-9.
    pub environment: keystile_str,
    /// Optional: custom JSON text, at most 16 KiB.
    pub metadata: keystile_str,
    /// Optional: the template that the key gets its permissions, limit and endpoints
    /// from. The other fields may only narrow it.
    pub scope_template: Option<&'a keystile_template>,
    /// Optional: the permissions granted.
    pub permissions: Option<&'a keystile_permissions>,
    /// Optional: the endpoints that the key is restricted to.
    pub allowed_endpoints: Option<&'a keystile_endpoints>,
    /// Optional: the networks that the key is restricted to.
    pub allowed_networks: Option<&'a keystile_networks>,
    /// Optional: how long keys of the service may live.
    pub lifetimes: *const keystile_lifetime_policy,
    /// The rate limit, if `has_rate_limit`.
    pub rate_limit: keystile_rate_limit,
    /// The total number of uses, if `has_uses`: 1 or more.
    pub uses: u64,
    /// The lifetime, if `has_lifetime`: 1 or more; otherwise 90 days.
    pub lifetime_millis: u64,
    /// 1 if there is a rate limit, otherwise 0.
    pub has_rate_limit: u8,
    /// 1 if uses are counted, otherwise 0.
    pub has_uses: u8,
    /// 1 if `lifetime_millis` is set, otherwise 0.
    pub has_lifetime: u8,
    /// 1 for a key that does not expire, otherwise 0; not together with `lifetime_millis`.
    pub never_expires: u8,
}

begins_with_its_size!(keystile_issue_request<'_>);

/// Issues a key.
///
/// `peppers`: NULL for none.
/// `request`: what the key is to be; copied.
/// `random`, `random_len`: NULL and 0 for the randomness of the operating system.
/// Otherwise bytes from a cryptographic generator, which must be used only once; 512
/// are always enough. If there are too few, no key is issued.
/// `now`: milliseconds since 1970.
/// `out_change`: receives the key's text, its record and the event; free it with
/// `keystile_change_free`.
///
/// Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_RANDOMNESS`; `KEYSTILE_ERROR_EXCEEDS` if the
/// request exceeds the template; `KEYSTILE_ERROR_TIME`, also for a lifetime that the service
/// does not allow; otherwise the error of the field that is not well formed.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_issue(
    format: Option<&keystile_format>,
    peppers: Option<&keystile_peppers>,
    request: *const keystile_issue_request<'_>,
    random: *const u8,
    random_len: usize,
    now: u64,
    out_change: Option<&mut MaybeUninit<Option<Box<keystile_change>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (format, request) = (non_null(format)?, sized!(request)?.core()?);
        let (out_change, now) = (non_null(out_change)?, instant(now).of_field("now")?);
        let mut source = Source::of(bytes!(random, random_len)?, random.is_null());
        let issued = issue(&format.0, &ring(peppers), &request, &mut source, now)?;
        out_change.write(Some(keystile_change::issued(issued)));
        Ok(())
    })
}

/// Issues a key on behalf of the holder of another key. The new key never grants more
/// than that one.
///
/// Fields that the request does not set are copied from the source, except the
/// permissions: the new key gets only those that are requested. The owner and the
/// environment are always those of the source. The uses that it gets are to be taken off the
/// source's, which belong to its lineage: write both in one transaction.
///
/// Arguments as for `keystile_issue`; `source` is the record of the other key.
///
/// Returns as `keystile_issue`, or `KEYSTILE_ERROR_STATE` if the source is not live.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_delegate(
    source: Option<&keystile_record>,
    format: Option<&keystile_format>,
    peppers: Option<&keystile_peppers>,
    request: *const keystile_issue_request<'_>,
    random: *const u8,
    random_len: usize,
    now: u64,
    out_change: Option<&mut MaybeUninit<Option<Box<keystile_change>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (source, format) = (&non_null(source)?.0, &non_null(format)?.0);
        let (request, out_change) = (sized!(request)?.core()?, non_null(out_change)?);
        let mut random = Source::of(bytes!(random, random_len)?, random.is_null());
        let now = instant(now).of_field("now")?;
        let issued = delegate(source, format, &ring(peppers), &request, &mut random, now)?;
        out_change.write(Some(keystile_change::issued(issued)));
        Ok(())
    })
}

impl keystile_issue_request<'_> {
    fn core(&self) -> Result<IssueRequest, Failure> {
        let lifetime = number(self.lifetime_millis, self.has_lifetime, "lifetime")?;
        let never_expires = flag(self.never_expires, "never_expires")?;
        if never_expires && lifetime.is_some() {
            return Err(both("lifetime"));
        }
        let mut request = IssueRequest::new(self.client_name.required().of_field("client_name")?)?
            .email(self.client_email.optional().of_field("client_email")?)?
            .owner(self.owner.optional().of_field("owner")?)?
            .environment(self.environment.optional().of_field("environment")?)?
            .metadata(self.metadata.optional().of_field("metadata")?)?
            .template(self.scope_template.map(|template| template.0.clone()))
            .rate_limit(rate_limit(self.rate_limit, self.has_rate_limit)?)
            .uses(number(self.uses, self.has_uses, "uses")?)?
            .expires_in(lifetime.map(Millis::new))?;
        request.permissions = self.permissions.map(|set| set.0.clone());
        request.endpoints = self.allowed_endpoints.map(|rules| rules.0.clone());
        request.networks = self.allowed_networks.map(|networks| networks.0.clone());
        if never_expires {
            request = request.never_expires();
        }
        match policy_of(self.lifetimes)? {
            None => Ok(request),
            Some(lifetimes) => Ok(request.within(&lifetimes)?),
        }
    }
}

/// Where random bytes come from.
pub(crate) enum Source<'a> {
    System(SysRng),
    Given(&'a [u8]),
}

impl<'a> Source<'a> {
    pub(crate) const fn of(given: &'a [u8], is_null: bool) -> Self {
        if is_null {
            Self::System(SysRng)
        } else {
            Self::Given(given)
        }
    }
}

/// The caller gave too few bytes, or the operating system gave none.
#[derive(Debug)]
pub(crate) struct NoRandomness;

impl core::fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("no random bytes were given")
    }
}

impl core::error::Error for NoRandomness {}

impl TryRng for Source<'_> {
    type Error = NoRandomness;

    fn try_next_u32(&mut self) -> Result<u32, NoRandomness> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, NoRandomness> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), NoRandomness> {
        match self {
            Self::System(system) => system.try_fill_bytes(buffer).map_err(|_| NoRandomness),
            // No byte is used twice: consumed bytes are gone.
            Self::Given(left) => {
                let (taken, rest) = left.split_at_checked(buffer.len()).ok_or(NoRandomness)?;
                buffer.copy_from_slice(taken);
                *left = rest;
                Ok(())
            }
        }
    }
}

impl TryCryptoRng for Source<'_> {}
