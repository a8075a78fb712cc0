//! The header fields that tell a client about its rate limit.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::policy::rate_limit::Quota;

/// The header fields that tell a client about its rate limit.
///
/// The IETF's draft of RateLimit header fields (draft-ietf-httpapi-ratelimit-headers) is not
/// an RFC yet, and its fields have changed: clients that read those of one draft do not read
/// those of another.
///
/// All forms say the same, in whole seconds: the limit and its window, how many requests would
/// pass at once, and the time until the full burst is available again. Times are rounded up,
/// so that a client that believes them is not refused: a window of 500 ms counts as one
/// second.
///
/// ```
/// use keystile::{Millis, RateLimit, RateLimitFields, RateState, UnixMillis};
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let quota = RateLimit::new(100, Millis::from_secs(60))?.quota(RateState::default(), now);
/// let fields = RateLimitFields::Draft8.of(&quota);
/// assert_eq!(fields[0], ("ratelimit", r#""key";r=100;t=0"#.into()));
/// assert_eq!(fields[1], ("ratelimit-policy", r#""key";q=100;w=60"#.into()));
/// assert_eq!(RateLimitFields::from_name("8"), Some(RateLimitFields::Draft8));
/// assert_eq!(RateLimitFields::from_name("5"), None);
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RateLimitFields {
    /// `RateLimit-Limit`, `-Remaining`, `-Reset` and `-Policy`, as in drafts 3 to 6.
    #[default]
    Draft6,
    /// `RateLimit: limit=…, remaining=…, reset=…` and `RateLimit-Policy`, as in draft 7.
    Draft7,
    /// `RateLimit: "key";r=…;t=…` and `RateLimit-Policy: "key";q=…;w=…`, as in drafts 8 to
    /// 10.
    Draft8,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`. No document defines them; as with
    /// GitHub's API, the last is the Unix time in seconds.
    X,
}

impl RateLimitFields {
    /// Each form.
    pub const ALL: [Self; 4] = [Self::Draft6, Self::Draft7, Self::Draft8, Self::X];

    /// The name of the form: the number of a draft, or `x`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft6 => "6",
            Self::Draft7 => "7",
            Self::Draft8 => "8",
            Self::X => "x",
        }
    }

    /// The form with a name; `None` if there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == name)
    }

    /// The fields for what is left of a limit. Names are in lower case.
    #[must_use]
    pub fn of(self, quota: &Quota) -> Vec<(&'static str, String)> {
        let (limit, remaining) = (quota.limit().limit(), quota.remaining());
        let window = quota.limit().window().secs_ceil();
        let reset = quota.reset().secs_ceil();
        match self {
            Self::Draft6 => Vec::from([
                ("ratelimit-limit", limit.to_string()),
                ("ratelimit-remaining", remaining.to_string()),
                ("ratelimit-reset", reset.to_string()),
                ("ratelimit-policy", format!("{limit};w={window}")),
            ]),
            Self::Draft7 => Vec::from([
                (
                    "ratelimit",
                    format!("limit={limit}, remaining={remaining}, reset={reset}"),
                ),
                ("ratelimit-policy", format!("{limit};w={window}")),
            ]),
            Self::Draft8 => Vec::from([
                ("ratelimit", format!("\"key\";r={remaining};t={reset}")),
                ("ratelimit-policy", format!("\"key\";q={limit};w={window}")),
            ]),
            Self::X => {
                let at = quota.at().get().saturating_add(quota.reset().get());
                Vec::from([
                    ("x-ratelimit-limit", limit.to_string()),
                    ("x-ratelimit-remaining", remaining.to_string()),
                    ("x-ratelimit-reset", at.div_ceil(1_000).to_string()),
                ])
            }
        }
    }
}
