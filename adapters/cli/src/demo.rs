//! `keystile demo`: shows the life of a key with the program's own commands.

use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::script::{Program, Script, Step};

const STEPS: &[Step] = &[
    Step::new(
        "Issue a key: acme_live_1… and so on. It is shown only once; the store keeps its digest.",
        "issue --client \"Acme Ltd\" --prefix acme --env live --permission invoices:read \
         --endpoint \"GET /api/invoices/*\" --rate-limit 3/1h",
        0,
    )
    .keeps(["KEY", "ID"]),
    Step::new(
        "The key may do what it was granted.",
        "verify --requires invoices:read --path /api/invoices/7",
        0,
    )
    .with(&["KEY"]),
    Step::new(
        "A denial names the permission that is missing.",
        "verify --requires invoices:write --path /api/invoices/7",
        1,
    )
    .with(&["KEY"]),
    Step::new(
        "Other endpoints are denied, and so are paths that a router could resolve to another one.",
        "verify --requires invoices:read --path /api/users/7",
        1,
    )
    .with(&["KEY"]),
    Step::new(
        "",
        "verify --requires invoices:read --path /api/invoices/../users/7",
        1,
    )
    .with(&["KEY"]),
    Step::new(
        "A typo fails the key's checksum, without a lookup. (TYPO is KEY with one character changed.)",
        "verify",
        1,
    )
    .with(&["TYPO"]),
    Step::new("", "inspect --prefix acme", 1).with(&["TYPO"]),
    Step::new(
        "The limit is three requests an hour. Only one was used above: denials do not count.",
        "verify --path /api/invoices/8",
        0,
    )
    .with(&["KEY"]),
    Step::new("", "verify --path /api/invoices/9", 0).with(&["KEY"]),
    Step::new("", "verify --path /api/invoices/10", 1).with(&["KEY"]),
    Step::new(
        "Explain names every check of a request and what it compares. It needs no secret, and counts nothing.",
        "explain $ID --requires invoices:write --path /api/invoices/11",
        1,
    ),
    Step::new(
        "Change the key: its text stays, and the new rights are in force at once.",
        "change $ID --add-permission invoices:write --clear-rate-limit",
        0,
    ),
    Step::new(
        "",
        "verify --dry-run --requires invoices:write --path /api/invoices/11",
        0,
    )
    .with(&["KEY"]),
    Step::new(
        "Issue another key from a template. After it is rotated, both keys work for the overlap.",
        "issue --client Globex --prefix acme --env live --template monitoring",
        0,
    )
    .keeps(["OLD", "OLD_ID"]),
    Step::new("", "rotate $OLD_ID --overlap 7d", 0).keeps(["NEW", "NEW_ID"]),
    Step::new("", "verify --requires read --path /api/metrics/cpu", 0).with(&["OLD", "NEW"]),
    Step::new(
        "Revoke the old key: it is denied from then on. The new one keeps working.",
        "revoke $OLD_ID --reason \"moved to the new key\"",
        0,
    ),
    Step::new("", "verify --requires read --path /api/metrics/cpu", 1).with(&["OLD", "NEW"]),
];

#[derive(Serialize)]
struct StepView<'s> {
    title: &'s str,
    command: &'s str,
    output: Vec<&'s str>,
    exit: u8,
}

/// Carries out `keystile demo`, whose steps are run by `program`.
pub(crate) fn run(program: Program, json: bool, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let mut script = Script::new(program)?;
    if !json {
        io.line("# Keys, ids and dates differ on every run, so they are shown by name.")?;
    }
    for step in STEPS {
        let (command, output) = script.run(step)?;
        if json {
            io.json(&StepView {
                title: step.title,
                command: &command,
                output: output.lines().collect(),
                exit: step.exit,
            })?;
            continue;
        }
        if !step.title.is_empty() {
            io.line(&format!("\n# {}", step.title))?;
        }
        io.line(&format!("$ {command}"))?;
        io.line(output.trim_end())?;
    }
    script.close()?;
    Ok(Exit::Done)
}
