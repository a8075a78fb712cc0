//! Issues a key, checks it, refuses it and revokes it, with the record in memory.
//!
//! Run it: `cargo run --example check_a_key`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use core::error::Error;

use keystile::{
    Decision, IssueRequest, Issuer, KeyFormat, KeyRecord, Request, Requirement, SysRng, UnixMillis,
    Usage, Verifier, revoke,
};

fn main() -> Result<(), Box<dyn Error>> {
    let now = UnixMillis::now()?;
    let format = KeyFormat::structured("acme")?;
    let (issuer, verifier) = (Issuer::new(format.clone()), Verifier::new(format));

    let request = IssueRequest::new("Acme Ltd")?
        .environment("live")?
        .permissions(["invoices:read"])?
        .endpoints(["GET /api/invoices/*"])?;
    let issued = issuer.issue(&request, &mut SysRng, now)?;
    println!("issued   {}", issued.record.id);

    let read = Requirement::parse("invoices:read")?;
    let check = |record: &KeyRecord, path: &str| {
        // A service fetches the record by `verifier.lookup(&verifier.parse(key)?)`, and keeps
        // the usage beside it.
        let key = issued.key.expose().as_bytes();
        let mut usage = Usage::of(record);
        let request = Request::new().requires(&read).endpoint("GET", path);
        match verifier.verify(key, Some(record), &request, &mut usage, now) {
            Decision::Allow(_) => "allowed",
            Decision::Deny(denial) => denial.code().as_str(),
        }
    };

    println!("invoice  {}", check(&issued.record, "/api/invoices/7"));
    println!(
        "climbing {}",
        check(&issued.record, "/api/invoices/../users")
    );
    let revoked = revoke(&issued.record, "no longer needed", now)?.record;
    println!("revoked  {}", check(&revoked, "/api/invoices/7"));
    Ok(())
}
