//! How many requests per second one key with counted uses serves, from 1 to 64 at once.
//!
//! ```sh
//! cargo run --release -p keystile-store --features authenticator,postgres \
//!     --example counted_uses -- /tmp/keys.db postgres://localhost/keys
//! ```
//!
//! Each argument is a SQLite file or the URL of a PostgreSQL server.
#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use core::error::Error;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
use keystile_store::{Authenticator, PostgresStore, SqliteStore, Store};
use tokio::task::JoinSet;

/// How long each number of requests at once is measured.
const TIME: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    for target in std::env::args().skip(1) {
        println!("{target}");
        if target.starts_with("postgres") {
            let store = PostgresStore::open(&target)?;
            store.migrate().await?;
            measure(store).await?;
        } else {
            let store = SqliteStore::open(&target)?;
            store.migrate().await?;
            measure(store).await?;
        }
    }
    Ok(())
}

async fn measure<S: Store + 'static>(store: S) -> Result<(), Box<dyn Error>> {
    let issuer = Issuer::new(KeyFormat::structured("acme")?);
    let verifier = Verifier::new(issuer.format().clone());
    let keys = Authenticator::builder(Arc::new(store), verifier).build()?;
    let counted = IssueRequest::new("Acme")?.uses(1_000_000)?;
    for at_once in [1, 4, 16, 64] {
        let now = UnixMillis::now()?;
        let issued = keys.issue(&issuer, &counted, &mut SysRng, now).await?;
        let text: Arc<str> = issued.key.expose().into();
        let (begun, mut asking) = (Instant::now(), JoinSet::new());
        for _ in 0..at_once {
            let (keys, text) = (keys.clone(), Arc::clone(&text));
            asking.spawn(async move {
                let (mut allowed, mut refused) = (0_u64, 0_u64);
                while begun.elapsed() < TIME {
                    let answer = keys.check(text.as_bytes(), &Request::new(), now).await;
                    let count = if answer.decision.is_allow() {
                        &mut allowed
                    } else {
                        &mut refused
                    };
                    *count = count.saturating_add(1);
                }
                (allowed, refused)
            });
        }
        let counts = asking.join_all().await;
        let allowed: u64 = counts.iter().map(|(allowed, _)| allowed).sum();
        let refused: u64 = counts.iter().map(|(_, refused)| refused).sum();
        let left = keys.store().usage(&issued.record.lineage).await?.usage;
        let spent = 1_000_000_u64.saturating_sub(left.remaining.unwrap_or_default());
        let each_second = allowed.checked_div(TIME.as_secs()).unwrap_or_default();
        println!(
            "{at_once:>3} at once: {each_second:>6}/s, {refused} refused, {spent} of {allowed} spent"
        );
    }
    keys.stop().await?;
    Ok(())
}
