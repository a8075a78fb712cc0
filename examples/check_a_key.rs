//! Issues a key, checks it, refuses it and revokes it, with the record in memory.
//!
//! Run it: `cargo run --example check_a_key`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use core::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use keystile::{
    Decision, IssueRequest, KeyFormat, KeyRecord, PepperRing, Request, Requirement, SysRng,
    UnixMillis, Usage, Verifier, issue, revoke, verify,
};

fn main() -> Result<(), Box<dyn Error>> {
    let now = now()?;
    let format = KeyFormat::structured("acme")?;

    let wanted = IssueRequest::new("Acme Ltd")?
        .environment("live")?
        .permissions(["invoices:read"])?
        .endpoints(["GET /api/invoices/*"])?;
    let issued = issue(&format, &PepperRing::none(), &wanted, &mut SysRng, now)?;
    println!("issued   {}", issued.record.id);

    let verifier = Verifier::new(format);
    let read = Requirement::parse("invoices:read")?;
    let ask = |record: &KeyRecord, path: &str| {
        let key = match verifier.parse(issued.key.expose().as_bytes()) {
            Ok(key) => key,
            Err(denial) => return denial.code().as_str(),
        };
        // A service finds the record by `verifier.lookup(&key)` and stores the usage with
        // it.
        let mut usage = Usage::of(record);
        let request = Request::new().requires(&read).endpoint("GET", path);
        match verify(&verifier, &key, Some(record), &request, &mut usage, now) {
            Decision::Allow(_) => "allowed",
            Decision::Deny(denial) => denial.code().as_str(),
        }
    };

    println!("invoice  {}", ask(&issued.record, "/api/invoices/7"));
    println!("climbing {}", ask(&issued.record, "/api/invoices/../users"));
    let revoked = revoke(&issued.record, "no longer needed", now)?.record;
    println!("revoked  {}", ask(&revoked, "/api/invoices/7"));
    Ok(())
}

fn now() -> Result<UnixMillis, Box<dyn Error>> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(UnixMillis::new(since_1970.as_millis().try_into()?)?)
}
