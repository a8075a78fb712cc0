//! `keystile demo`: the life of a key, walked through with the program's own commands.

use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::surroundings::Surroundings;
use crate::walk::Walk;

/// A part of the demo. What is shown of it is what is run.
pub(crate) struct Step {
    /// What it shows; empty where it goes on with the one before.
    pub(crate) title: &'static str,
    /// The variables that are sent on standard input, a line each.
    pub(crate) input: &'static [&'static str],
    /// The arguments, with words in double quotes and variables as in a shell.
    pub(crate) command: &'static str,
    /// The variables that the new key and its id are kept in.
    pub(crate) keeps: Option<[&'static str; 2]>,
    /// The exit code without which the demo has failed.
    pub(crate) exit: u8,
}

impl Step {
    const fn new(title: &'static str, command: &'static str, exit: u8) -> Self {
        let (input, keeps): (&[&str], _) = (&[], None);
        Self {
            title,
            input,
            command,
            keeps,
            exit,
        }
    }

    const fn keeps(self, variables: [&'static str; 2]) -> Self {
        Self {
            keeps: Some(variables),
            ..self
        }
    }

    const fn with(self, input: &'static [&'static str]) -> Self {
        Self { input, ..self }
    }
}

const STEPS: &[Step] = &[
    Step::new(
        "A key is issued, acme_live_1… and so on. It is shown once; the store keeps its digest.",
        "issue --client \"Acme Ltd\" --prefix acme --env live --permission invoices:read \
         --endpoint \"GET /api/invoices/*\" --rate-limit 3/1h",
        0,
    )
    .keeps(["KEY", "ID"]),
    Step::new(
        "It may do what it was granted.",
        "verify --requires invoices:read --path /api/invoices/7",
        0,
    )
    .with(&["KEY"]),
    Step::new(
        "A permission that it lacks is refused by name.",
        "verify --requires invoices:write --path /api/invoices/7",
        1,
    )
    .with(&["KEY"]),
    Step::new(
        "Other endpoints are refused, and paths that a router might read as another.",
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
        "A typo fails the key's own checksum, without a look-up. (TYPO is KEY but for one character.)",
        "verify",
        1,
    )
    .with(&["TYPO"]),
    Step::new("", "inspect --prefix acme", 1).with(&["TYPO"]),
    Step::new(
        "Three requests an hour: one was spent above, for a refusal costs nothing.",
        "verify --path /api/invoices/8",
        0,
    )
    .with(&["KEY"]),
    Step::new("", "verify --path /api/invoices/9", 0).with(&["KEY"]),
    Step::new("", "verify --path /api/invoices/10", 1).with(&["KEY"]),
    Step::new(
        "Another key, from a template. When it is rotated, both keys live for the overlap.",
        "issue --client Globex --prefix acme --env live --template monitoring",
        0,
    )
    .keeps(["OLD", "OLD_ID"]),
    Step::new("", "rotate $OLD_ID --overlap 7d", 0).keeps(["NEW", "NEW_ID"]),
    Step::new("", "verify --requires read --path /api/metrics/cpu", 0).with(&["OLD", "NEW"]),
    Step::new(
        "The old key is revoked, and is refused from then on. The new one lives.",
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

/// Carries out `keystile demo`.
pub(crate) fn run(json: bool, surroundings: &mut Surroundings<'_>) -> Result<Exit, Failure> {
    let mut walk = Walk::begin()?;
    if !json {
        surroundings.line("# Keys, ids and dates differ each time: they are shown by name.")?;
    }
    for step in STEPS {
        let (command, output) = walk.take(step)?;
        if json {
            surroundings.json(&StepView {
                title: step.title,
                command: &command,
                output: output.lines().collect(),
                exit: step.exit,
            })?;
            continue;
        }
        if !step.title.is_empty() {
            surroundings.line(&format!("\n# {}", step.title))?;
        }
        surroundings.line(&format!("$ {command}"))?;
        surroundings.line(output.trim_end())?;
    }
    walk.end()?;
    Ok(Exit::Done)
}
