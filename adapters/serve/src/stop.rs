//! The signals that ask a program to stop.

use core::future::Future;
use std::io;

/// Ends when the process is asked to stop, by `SIGTERM` or `SIGINT`. From when this is
/// called on, the signals do not end the process by themselves.
///
/// # Errors
/// Where the signals cannot be listened to.
#[cfg(unix)]
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

/// Ends when the process is asked to stop, by Ctrl-C.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()> + Send> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
