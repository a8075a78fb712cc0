//! The log of the service, on standard error.

use std::io::{Write, stderr};

use clap::ValueEnum;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The least that is worth a line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
}

/// Those whose lines are known to hold no key text.
const OWN: [&str; 4] = ["keystile", "keystile_serve", "keystile_store", "tower_http"];

/// Begins the log. A panic in one request is a line in it, and not the end of the others.
pub(crate) fn begin(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let own = Targets::new().with_targets(OWN.map(|target| (target, level)));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(stderr)
        .with_ansi(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    // There is one already only where this is called twice.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(own))
        .try_init();
    std::panic::set_hook(Box::new(|panic| {
        // Where, and not what: the text might hold anything.
        let place = panic.location().map(|place| (place.file(), place.line()));
        let (file, line) = place.unwrap_or(("?", 0));
        let _ = writeln!(
            stderr(),
            "keystile: internal error at {file}:{line}; please report it"
        );
    }));
}
