//! How long it takes to export and to import 100,000 keys.
//!
//! ```sh
//! cargo run --release -p keystile-store --features authenticator,postgres,sqlite \
//!     --example portable -- /tmp/new.db postgres://localhost/empty
//! ```
//!
//! Each argument is a new SQLite file or the URL of an empty PostgreSQL database. A number before
//! them is another number of keys. It fails if a step takes 30 seconds or more per 100,000 keys.
#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use core::error::Error;
use core::time::Duration;
use std::time::Instant;

use keystile::{
    EndpointRules, IssueRequest, Issuer, KeyFormat, LifetimePolicy, Millis, RateLimit, SysRng,
    UnixMillis,
};
use keystile_store::{
    Filter, IMPORT_LINES_MAX, Importer, LineResult, Page, PortableKey, PortableLine, PostgresStore,
    SqliteStore, Store,
};

/// The time that a step may take per 100,000 keys.
const TIME_MAX: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let count = arguments.peek().and_then(|text| text.parse().ok());
    if count.is_some() {
        arguments.next();
    }
    let lines = lines(count.unwrap_or(100_000))?;
    for target in arguments {
        println!("{target}: {} keys", lines.len());
        if target.starts_with("postgres") {
            let store = PostgresStore::open(&target)?;
            store.migrate().await?;
            measure(&store, &lines).await?;
        } else {
            let store = SqliteStore::open(&target)?;
            store.migrate().await?;
            measure(&store, &lines).await?;
        }
    }
    Ok(())
}

async fn measure<S: Store>(store: &S, lines: &[String]) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let imported = import(store, lines).await?;
    step("imported", begun.elapsed(), imported, lines.len())?;

    let begun = Instant::now();
    let mut exported = 0_usize;
    let mut is_same = true;
    let mut page = Some(Page::first(IMPORT_LINES_MAX));
    while let Some(current) = page {
        let part = store.export(&Filter::default(), current).await?;
        for key in part.keys {
            let text = PortableLine::Key(Box::new(key)).to_text();
            is_same &= lines.get(exported) == Some(&text);
            exported = exported.saturating_add(1);
        }
        page = part.next.map(|next| current.after(next));
    }
    step("exported", begun.elapsed(), exported, lines.len())?;
    if !is_same {
        return Err("the export differs from what was imported".into());
    }

    let begun = Instant::now();
    let again = import(store, lines).await?;
    step("found again", begun.elapsed(), lines.len(), lines.len())?;
    match again {
        0 => Ok(()),
        _ => Err("a key was imported twice".into()),
    }
}

fn step(done: &str, time: Duration, keys: usize, all: usize) -> Result<(), Box<dyn Error>> {
    println!("  {done:<12} {keys} in {:.1} s", time.as_secs_f64());
    let limit = TIME_MAX.saturating_mul(u32::try_from(all.div_ceil(100_000))?);
    if keys != all || time >= limit {
        return Err(format!("{done}: expected {all} keys in less than {limit:?}").into());
    }
    Ok(())
}

async fn import<S: Store>(store: &S, lines: &[String]) -> Result<usize, Box<dyn Error>> {
    let mut importer = Importer::new(store, LifetimePolicy::default());
    let mut imported = 0_usize;
    for part in lines.chunks(IMPORT_LINES_MAX) {
        let numbered: Vec<_> = (1..).zip(part.iter().map(String::as_bytes)).collect();
        let report = importer.import(&numbered, UnixMillis::now()?).await?;
        let new = report
            .iter()
            .filter(|line| line.result == LineResult::Imported);
        imported = imported.saturating_add(new.count());
    }
    Ok(imported)
}

/// Keys as a service has them.
fn lines(count: usize) -> Result<Vec<String>, Box<dyn Error>> {
    let issuer = Issuer::new(KeyFormat::structured("acme")?);
    let mut request = IssueRequest::new("Acme Ltd")?
        .owner("tenant-7")?
        .environment("live")?
        .permissions(["invoices:read", "invoices:write"])?
        .metadata(r#"{"plan": "gold", "seats": 12}"#)?
        .rate_limit(RateLimit::new(1_000, Millis::from_hours(1))?);
    request.endpoints = Some(EndpointRules::new(["GET /api/invoices/*"])?);
    let now = UnixMillis::now()?;
    let mut lines = Vec::with_capacity(count);
    for _ in 0..count {
        let issued = issuer.issue(&request, &mut SysRng, now)?;
        let key = PortableKey::new(issued.record);
        lines.push(PortableLine::Key(Box::new(key)).to_text());
    }
    Ok(lines)
}
