//! The store's crate can be in one program with the crates that its users have beside it.
//!
//! Only one crate of a program can link SQLite's C library, so another crate that links it
//! decides which version of rusqlite is used.

use std::fs;
use std::path::PathBuf;

use crate::workspace::{TaskResult, Workspace, run as run_command, succeeds};

/// A program's other dependencies, and the features of `keystile-store` beside them.
const RESOLVE: [(&str, &str); 6] = [
    (
        r#"sqlx = { version = "0.8", features = ["sqlite", "runtime-tokio"] }"#,
        "sqlite",
    ),
    (
        r#"sqlx = { version = "0.9", features = ["sqlite", "runtime-tokio"] }"#,
        "sqlite",
    ),
    (
        r#"sqlx = { version = "0.8", features = ["postgres", "sqlite", "runtime-tokio"] }"#,
        "postgres",
    ),
    (
        r#"tower-sessions-sqlx-store = { version = "0.15", features = ["postgres"] }"#,
        "postgres",
    ),
    (
        r#"tower-sessions-sqlx-store = { version = "0.15", features = ["sqlite"] }"#,
        "sqlite",
    ),
    (r#"axum-login = "0.18""#, "sqlite"),
];
/// It links a version of SQLite from before those that the store accepts, so it resolves
/// beside PostgreSQL only.
const TOO_OLD: &str = r#"sqlx = { version = "=0.7.4", features = ["sqlite", "runtime-tokio"] }"#;
/// The oldest version that the store accepts. sqlx 0.8 requires it.
const OLDEST: &str = r#"rusqlite = "=0.32.1""#;

/// What a program does with the oldest version.
const MAIN: &str = r#"
use keystile::{DenialCode, IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
use keystile_store::Authenticator;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let now = UnixMillis::new(1_790_000_000_000)?;
    let issuer = Issuer::new(KeyFormat::structured("acme")?);
    let file = std::env::temp_dir().join(format!("together-{}.db", std::process::id()));
    let keys = Authenticator::open_sqlite(&file, Verifier::new(KeyFormat::structured("acme")?)).await?;
    let issued = keys.issue(&issuer, &IssueRequest::new("Acme")?, &mut SysRng, now).await?;
    let key = issued.key.expose().as_bytes();
    assert!(keys.check(key, &Request::new(), now).await.decision.is_allow());
    keys.revoke(&issued.record.id, "leaked in a log", now).await?;
    let answer = keys.check(key, &Request::new(), now).await;
    assert_eq!(answer.decision.denial().map(|denial| denial.code()), Some(DenialCode::KeyRevoked));
    keys.stop().await?;
    Ok(std::fs::remove_file(file)?)
}
"#;

pub(crate) fn run(workspace: &Workspace) -> TaskResult {
    let program = Program::new(workspace)?;
    for (dependencies, feature) in RESOLVE {
        program.write(dependencies, feature, "fn main() {}")?;
        program.cargo(workspace, "generate-lockfile --quiet")?;
        println!("resolves: {dependencies}, keystile-store with {feature}");
    }
    for (feature, resolves) in [("postgres", true), ("sqlite", false)] {
        program.write(TOO_OLD, feature, "fn main() {}")?;
        if succeeds(&mut program.command(workspace, "generate-lockfile")) != resolves {
            return Err(format!(
                "expected {resolves} for {TOO_OLD}, keystile-store with {feature}"
            ));
        }
    }
    program.write(OLDEST, "sqlite", MAIN)?;
    program.cargo(workspace, "run --quiet")?;
    println!("runs: {OLDEST}");
    Ok(())
}

/// A program of a user, in the folder of build output.
struct Program {
    folder: PathBuf,
    root: PathBuf,
}

impl Program {
    fn new(workspace: &Workspace) -> Result<Self, String> {
        let program = Self {
            folder: workspace.target_path("together"),
            root: workspace.path(""),
        };
        let source = program.folder.join("src");
        fs::create_dir_all(&source).map_err(|error| format!("{}: {error}", source.display()))?;
        Ok(program)
    }

    fn write(&self, dependencies: &str, feature: &str, main: &str) -> TaskResult {
        let root = self.root.display();
        let manifest = format!(
            "[package]\nname = \"together\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
             keystile = {{ path = '{root}' }}\n\
             keystile-store = {{ path = '{root}/adapters/store', features = [\"authenticator\", \"{feature}\"] }}\n\
             tokio = {{ version = \"1\", features = [\"macros\", \"rt\", \"time\"] }}\n{dependencies}\n"
        );
        // What was resolved for other dependencies is not to be kept.
        let _ = fs::remove_file(self.folder.join("Cargo.lock"));
        for (file, text) in [("Cargo.toml", &*manifest), ("src/main.rs", main)] {
            let path = self.folder.join(file);
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    fn cargo(&self, workspace: &Workspace, line: &str) -> TaskResult {
        run_command(&mut self.command(workspace, line))
    }

    fn command(&self, workspace: &Workspace, line: &str) -> std::process::Command {
        let mut command = workspace.command("cargo");
        command
            .args(line.split_whitespace())
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", self.folder.join("target"));
        command
    }
}
