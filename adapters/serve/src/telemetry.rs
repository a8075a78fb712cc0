//! Metrics for Prometheus. No label contains key text.

use core::time::Duration;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::backend::Backend;

type Labels = [(&'static str, &'static str); 2];

/// The upper limits of the latency histogram's buckets, in seconds: a cached decision takes
/// tens of microseconds, one that waits for a store takes milliseconds.
const BUCKETS: [f64; 11] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0,
];

/// The metrics of the service.
pub(crate) struct Telemetry {
    registry: Registry,
    decisions: Family<Labels, Counter>,
    seconds: Family<[(&'static str, &'static str); 1], Histogram>,
}

impl Telemetry {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        let mut registry = Registry::with_prefix("keystile");
        let decisions = Family::default();
        registry.register(
            "decisions",
            "Decisions about presented keys, by route and by the denial's code, too_many_invalid_keys \
             or allowed",
            decisions.clone(),
        );
        let seconds = Family::new_with_constructor(histogram as fn() -> Histogram);
        registry.register(
            "decision_seconds",
            "Time from a request's headers to the decision",
            seconds.clone(),
        );
        registry.register_collector(Box::new(AuthenticatorMetrics(backend)));
        Self {
            registry,
            decisions,
            seconds,
        }
    }

    /// Counts a decision.
    pub(crate) fn decided(&self, route: &'static str, code: &'static str, took: Duration) {
        self.decisions
            .get_or_create(&[("route", route), ("code", code)])
            .inc();
        self.seconds
            .get_or_create(&[("route", route)])
            .observe(took.as_secs_f64());
    }

    /// All metrics, in the text format.
    pub(crate) fn written(&self) -> Result<String, core::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// The statistics of the authenticator, read when metrics are requested.
struct AuthenticatorMetrics(Arc<dyn Backend>);

impl core::fmt::Debug for AuthenticatorMetrics {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("AuthenticatorMetrics")
    }
}

impl Collector for AuthenticatorMetrics {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), core::fmt::Error> {
        let stats = self.0.stats();
        let keyring = stats.keyring;
        let counters = [
            ("fetches", "Records fetched from the store", stats.fetches),
            (
                "fetches_overtaken",
                "Fetches that were overtaken by a change",
                keyring.overtaken,
            ),
            (
                "cache_evictions",
                "Cached records evicted because the cache was full",
                keyring.evictions,
            ),
            (
                "cache_invalidations",
                "Cached records invalidated by a change",
                keyring.invalidations,
            ),
            (
                "cache_absent_hits",
                "Keys denied by the negative cache",
                keyring.absent_hits,
            ),
            (
                "uses_dropped",
                "Last uses dropped because the queue was full",
                stats.uses_dropped,
            ),
            (
                "revalidated",
                "Requests beyond the revocation bound whose records were read again",
                stats.revalidated,
            ),
            (
                "refused_beyond_bound",
                "Requests beyond the revocation bound that were denied at once",
                stats.refused_beyond_bound,
            ),
            (
                "served_stale",
                "Requests beyond the revocation bound that cached records could decide",
                stats.served_stale,
            ),
            (
                "limits_asked",
                "Calls for tokens of rate limits that all processes share",
                stats.limits_asked,
            ),
            (
                "limits_failed",
                "Calls for tokens that failed, or were not answered in time",
                stats.limits_failed,
            ),
            (
                "limits_degraded",
                "Requests decided while tokens could not be taken",
                keyring.degraded,
            ),
            (
                "limits_refused_from_memory",
                "Requests refused because a shared limit had refused shortly before",
                keyring.refused_from_memory,
            ),
            (
                "tokens_taken",
                "Tokens of shared limits taken",
                keyring.tokens_taken,
            ),
            (
                "tokens_returned",
                "Tokens of shared limits that were not used and that are given back in time",
                keyring.tokens_returned,
            ),
            (
                "tokens_lost",
                "Tokens of shared limits neither used nor given back",
                keyring.tokens_lost,
            ),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(to.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        let gauges = [
            ("cache_entries", "Records cached", count(keyring.entries)),
            (
                "uses_waiting",
                "Last uses waiting to be written",
                count(stats.uses_waiting),
            ),
            (
                "stale_seconds",
                "How long changes by other processes could not be read",
                seconds(stats.stale_for),
            ),
            (
                "revocation_bound_seconds",
                "How long cached records are used after the changes were read",
                seconds(stats.revocation_bound),
            ),
            (
                "lease_age_seconds",
                "How long ago the read of changes was sent that found no further one",
                seconds(stats.lease_age),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(to.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
