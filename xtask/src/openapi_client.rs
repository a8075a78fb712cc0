//! A client that a generator makes from the OpenAPI document, against the service.

use std::fs;

use crate::serve::{Serving, document};
use crate::workspace::{TaskResult, Workspace, run};

/// A program that uses the generated client.
const PROGRAM: &str = "xtask/openapi-client";
/// The generator, run by its path, so that the program does not depend on it.
const GENERATOR: &str = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2";

/// Generates a client in Go, compiles it, and issues, lists, verifies and revokes a key with it.
pub(crate) fn run_client(workspace: &Workspace) -> TaskResult {
    workspace.cargo("build --package keystile-cli")?;
    let folder = workspace.target_path("openapi-client");
    // Files of an earlier run.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for file in ["main.go", "go.mod", "go.sum"] {
        let from = workspace.path(PROGRAM).join(file);
        fs::copy(&from, folder.join(file))
            .map_err(|error| format!("{}: {error}", from.display()))?;
    }
    let serving = Serving::start(&workspace.target_path("debug/keystile"), &folder)?;
    let file = document(&serving, &folder)?;
    run(workspace
        .command("go")
        .current_dir(&folder)
        .args(["run", GENERATOR, "-package", "main"])
        .args(["-generate", "types,client", "-o", "client.go"])
        .arg(&file))?;
    println!("$ go run . {}", serving.url);
    // Not by `run`, which prints the variables: one is a key.
    let used = workspace
        .command("go")
        .current_dir(&folder)
        .args(["run", ".", &serving.url])
        .env("KEYSTILE_KEY", &serving.key)
        .status();
    let ended = serving.stop();
    match used {
        Ok(status) if status.success() => ended,
        Ok(status) => Err(format!("the generated client: {status}")),
        Err(error) => Err(format!("go: {error}")),
    }
}
