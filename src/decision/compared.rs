//! What a check compared, as a sentence for people.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Display;

use crate::decision::cause::Cause;
use crate::decision::check_step::CheckStep;
use crate::decision::dates::rfc3339;
use crate::decision::request::Request;
use crate::decision::verifier::Verifier;
use crate::key::contains_key::contains_key;
use crate::key::digest::DigestKind;
use crate::policy::network::Networks;
use crate::record::key_record::{KeyRecord, Status};
use crate::record::usage::Usage;
use crate::time::{Millis, UnixMillis};

/// The most bytes of a method or path that a sentence repeats.
const ENDPOINT_BYTES_SHOWN_MAX: usize = 200;
/// Instead of a sentence into which somebody put a key, as in the path of a request.
const NOT_SHOWN: &str = "what was compared contains a key, and is not shown";

/// Both sides of all checks.
pub(super) struct Compared<'c> {
    verifier: &'c Verifier,
    record: &'c KeyRecord,
    request: &'c Request<'c>,
    usage: &'c Usage,
    now: UnixMillis,
}

impl<'c> Compared<'c> {
    pub(super) const fn new(
        verifier: &'c Verifier,
        record: &'c KeyRecord,
        request: &'c Request<'c>,
        usage: &'c Usage,
        now: UnixMillis,
    ) -> Self {
        Self {
            verifier,
            record,
            request,
            usage,
            now,
        }
    }

    /// What a check compared; `cause` is what it refuses with.
    pub(super) fn sentence(&self, step: CheckStep, cause: Option<Cause>) -> String {
        let sentence = match step {
            CheckStep::Secret => self.secret(cause),
            CheckStep::Status => self.status(),
            CheckStep::Expiry => self.expiry(),
            CheckStep::Overlap => self.overlap(),
            CheckStep::Environment => self.environment(cause),
            CheckStep::Network => self.network(cause),
            CheckStep::Endpoint => self.endpoint(cause),
            CheckStep::Permission => self.permission(),
            CheckStep::RateLimit => self.rate_limit(),
            CheckStep::Uses => self.uses(),
        };
        if contains_key(&sentence) {
            NOT_SHOWN.to_string()
        } else {
            sentence
        }
    }

    fn secret(&self, cause: Option<Cause>) -> String {
        let pepper = match self.record.digest.kind() {
            DigestKind::Sha256 => {
                return "the secret is taken as verified; the digest needs no pepper".to_string();
            }
            DigestKind::HmacSha256 { pepper } => pepper,
        };
        if cause.is_none() {
            return format!(
                "the secret is taken as verified; the digest needs pepper {pepper}, which is known"
            );
        }
        let known = joined(self.verifier.peppers().versions(), "none");
        format!("the digest needs pepper {pepper}; the peppers that are known: {known}")
    }

    fn status(&self) -> String {
        match (&self.record.status, self.record.suspended_with) {
            (Status::Active, _) => "the key is active".to_string(),
            (Status::Suspended, None) => "the key is suspended".to_string(),
            (Status::Suspended, Some(source)) => {
                format!("the key is suspended, together with {source}")
            }
            (Status::Revoked { at, reason }, _) => {
                format!(
                    "the key was revoked {} with the reason: {reason}",
                    rfc3339(*at)
                )
            }
        }
    }

    fn expiry(&self) -> String {
        match self.record.expires_at {
            None => "the key never expires".to_string(),
            Some(expiry) => self.until("the key expires", expiry),
        }
    }

    fn overlap(&self) -> String {
        match (self.record.replaced_by, self.record.overlap_until) {
            (None, None) => "the key was not replaced".to_string(),
            (Some(successor), None) => format!("the key was replaced by {successor}"),
            (None, Some(end)) => self.until("the overlap ends", end),
            (Some(successor), Some(end)) => {
                let replaced = format!("the key was replaced by {successor}; the overlap ends");
                self.until(&replaced, end)
            }
        }
    }

    fn until(&self, what: &str, end: UnixMillis) -> String {
        format!("{what} {} and it is {}", rfc3339(end), rfc3339(self.now))
    }

    fn environment(&self, cause: Option<Cause>) -> String {
        let own = self.record.environment.map_or_else(
            || "the key has no environment".to_string(),
            |own| format!("the key is for {own}"),
        );
        match (self.request.environment, cause) {
            (None, _) => format!("the request is for any environment; {own}"),
            (Some(asked), None) => format!("the request is for {asked}, and so is the key"),
            (Some(asked), Some(_)) => format!("the request is for {asked}; {own}"),
        }
    }

    fn network(&self, cause: Option<Cause>) -> String {
        let address = self.request.address.map_or_else(
            || "the address of the client is not known".to_string(),
            |address| format!("the client has the address {}", address.to_canonical()),
        );
        let networks = self.record.allowed_networks.as_ref();
        match (networks.map(Networks::iter), cause) {
            (None, _) => format!("{address}; the key may be used from any"),
            (Some(own), None) => format!("{address}, which is in one of: {}", joined(own, "none")),
            (Some(own), Some(_)) => {
                format!(
                    "{address}; the key may be used from: {}",
                    joined(own, "none")
                )
            }
        }
    }

    fn endpoint(&self, cause: Option<Cause>) -> String {
        let own = self.record.allowed_endpoints.as_ref();
        let any_or = || {
            own.map_or_else(
                || "the key may be used for any endpoint".to_string(),
                |rules| format!("the key may be used for: {}", joined(rules.iter(), "none")),
            )
        };
        let Some((method, path)) = self.request.endpoint else {
            return format!("the request has no path; {}", any_or());
        };
        let asked = format!("the request is {} {}", shown(method), shown(path));
        // Looked for in the whole, since what is shown is cut.
        if [method, path]
            .map(String::from_utf8_lossy)
            .iter()
            .any(|part| contains_key(part))
        {
            return NOT_SHOWN.to_string();
        }
        if cause == Some(Cause::PathNotCanonical) {
            return format!("{asked}, and its path is not canonical");
        }
        match own.and_then(|rules| rules.view().matching(method, path)) {
            Some(rule) => format!("{asked}, which matches: {}", rule.escape_ascii()),
            None => format!("{asked}; {}", any_or()),
        }
    }

    fn permission(&self) -> String {
        let held = joined(self.record.permissions.iter(), "none");
        let Some(asked) = self.request.requirement else {
            return format!("the request needs no permission; the key has: {held}");
        };
        let needs = format!(
            "the request needs \"{}\"; the key has: {held}",
            asked.as_str()
        );
        let missing = joined(asked.missing(&self.record.permissions), "");
        if missing.is_empty() {
            needs
        } else {
            format!("{needs}; missing: {missing}")
        }
    }

    fn rate_limit(&self) -> String {
        let Some(limit) = self.record.rate_limit else {
            return "the key has no rate limit".to_string();
        };
        let (count, window) = (limit.limit(), span(limit.window()));
        let burst = limit.burst();
        let quota = limit.quota(self.usage.rate, self.now);
        let left = quota.remaining();
        let limit = format!("the limit is {count} in {window}, {burst} at once; {left} left now");
        match quota.retry_after() {
            Some(Millis::ZERO) => limit,
            Some(next) => format!("{limit}, the next in {}", wait(next)),
            None => format!("{limit}, and never more"),
        }
    }

    fn uses(&self) -> String {
        match self.usage.remaining.or(self.record.remaining_uses) {
            None => "uses are not counted".to_string(),
            Some(0) => "no use is left".to_string(),
            Some(1) => "1 use is left".to_string(),
            Some(uses) => format!("{uses} uses are left"),
        }
    }
}

fn joined<T: Display>(items: impl Iterator<Item = T>, none: &str) -> String {
    let mut joined = String::new();
    for item in items {
        let separator = if joined.is_empty() { "" } else { ", " };
        joined.push_str(&format!("{separator}{item}"));
    }
    if joined.is_empty() {
        none.to_string()
    } else {
        joined
    }
}

/// A method or path as it was sent, without bytes that a terminal or a log would interpret.
fn shown(bytes: &[u8]) -> String {
    match bytes.get(..ENDPOINT_BYTES_SHOWN_MAX) {
        Some(start) if start.len() < bytes.len() => format!("{}...", start.escape_ascii()),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// A time to wait, rounded up: in seconds if it is short, otherwise in minutes or hours.
fn wait(wait: Millis) -> String {
    let seconds = wait.secs_ceil();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds.div_ceil(60)),
        _ => format!("{}h", seconds.div_ceil(3_600)),
    }
}

/// A duration in the largest unit that it is a whole number of.
fn span(span: Millis) -> String {
    let millis = span.get();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let whole = |&&(unit, _): &&(u64, &str)| millis >= unit && millis.is_multiple_of(unit);
    match units.iter().find(whole) {
        Some((unit, name)) => format!("{}{name}", millis.checked_div(*unit).unwrap_or_default()),
        None => format!("{millis}ms"),
    }
}
