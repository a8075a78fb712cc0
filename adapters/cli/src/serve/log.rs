//! The log of the service, on standard error.

use std::io::{Write, stderr};

use clap::ValueEnum;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::io::log_line;

/// The format of a log line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The least severe level that is logged.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
}

/// The crates whose log lines are known to contain no key text.
const OWN: [&str; 4] = ["keystile", "keystile_serve", "keystile_store", "tower_http"];

/// Starts the log. From then on a panic in one request is logged, and does not end the
/// process.
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
    // Fails only if a subscriber is set already, which means that this was called twice.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(own))
        .try_init();
    std::panic::set_hook(Box::new(move |panic| {
        // The location but not the message, which might contain a key.
        let place = panic.location().map(|place| (place.file(), place.line()));
        let (file, line) = place.unwrap_or(("?", 0));
        let message = format!("internal error at {file}:{line}; please report it");
        let line = match format {
            LogFormat::Text => format!("keystile: {message}"),
            LogFormat::Json => log_line("ERROR", &message).unwrap_or_default(),
        };
        let _ = writeln!(stderr(), "{line}");
    }));
}
