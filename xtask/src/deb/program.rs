//! The package of the program: with its service, manual pages and completions.

use std::fs;
use std::path::Path;

use super::Debian;
use super::control::Package;
use super::tree::Tree;
use crate::notices::notices;
use crate::shipped;
use crate::workspace::{TaskResult, Workspace, host, output};

const FOLDER: &str = "packaging/debian";
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/keystile"),
    ("zsh", "usr/share/zsh/vendor-completions/_keystile"),
    ("fish", "usr/share/fish/vendor_completions.d/keystile.fish"),
];

/// The package and its files, with this program.
pub(super) fn package(debian: &Debian<'_>, program: &Path) -> Result<(Package, Tree), String> {
    let workspace = debian.workspace;
    let tree = debian.tree("keystile")?;
    tree.copy_stripped(workspace, program, "usr/bin/keystile")?;
    let source = |name: &str| {
        let path = workspace.path(FOLDER).join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let unit = "usr/lib/systemd/system/keystile.service";
    tree.write(unit, &source("keystile.service")?)?;
    tree.write(
        "usr/lib/sysusers.d/keystile.conf",
        &source("keystile.sysusers")?,
    )?;
    // The one that is read is made by postinst: dpkg would delete a conffile before postrm can
    // see whether a store needs its peppers.
    tree.write("usr/share/keystile/keystile.env", &source("keystile.env")?)?;
    for script in ["postinst", "prerm", "postrm"] {
        tree.write_script(script, &source(&format!("keystile.{script}"))?)?;
    }
    for (shell, to) in COMPLETIONS {
        let script = output(asked(workspace, program).args(["completion", shell]))?;
        tree.write(to, &script)?;
    }
    manual(workspace, program, &tree)?;
    let crates = shipped::crates(workspace, "keystile-cli", &host(workspace)?)?;
    let notices = notices("keystile", &crates)?;
    let to = "usr/share/doc/keystile/THIRD-PARTY-NOTICES";
    tree.write_gzipped(workspace, to, &notices)?;
    let needed = debian.needed(&tree.root().join("usr/bin/keystile"))?;
    let package = Package {
        name: "keystile".to_owned(),
        section: "net",
        multi_arch: "",
        depends: format!(
            "{needed}, systemd | systemd-standalone-sysusers | systemd-sysusers, passwd"
        ),
        summary: "API keys in any service - program and HTTP service",
        description: &[
            "keystile issues, verifies, limits, rotates and revokes API keys. Services in\n\
             any language and gateways ask its HTTP service about each request; the keys\n\
             are in SQLite or PostgreSQL.",
            "The service is installed, but neither enabled nor started.",
        ],
    };
    Ok((package, tree))
}

/// The manual pages of the program and of each command.
fn manual(workspace: &Workspace, program: &Path, tree: &Tree) -> TaskResult {
    let help = output(asked(workspace, program).arg("help"))?;
    let page = |name: &str, words: &[&str]| {
        let text = output(asked(workspace, program).args(words))?;
        tree.write_gzipped(workspace, &format!("usr/share/man/man1/{name}.1"), &text)
    };
    page("keystile", &["man"])?;
    let commands = commands(&help);
    if commands.is_empty() {
        return Err("`keystile help` lists no commands".to_owned());
    }
    for command in commands {
        page(&format!("keystile-{command}"), &["man", command])?;
    }
    Ok(())
}

/// The commands in the program's help.
fn commands(help: &str) -> Vec<&str> {
    help.lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect()
}

/// The program, without what the person who builds has set for it.
fn asked(workspace: &Workspace, program: &Path) -> std::process::Command {
    let mut command = workspace.command(&program.display().to_string());
    command
        .env_remove("KEYSTILE_STORE")
        .env_remove("KEYSTILE_ACTOR");
    command
}

#[cfg(test)]
mod tests {
    use super::commands;

    #[test]
    fn commands_are_read_from_the_help() {
        let help = "Text\n\nCommands:\n  issue   Issue a key\n          more\n  list  List\n  \
                    help  Help\n\nOptions:\n  -h\n";
        assert_eq!(commands(help), ["issue", "list"]);
        assert!(commands("Usage: x").is_empty());
    }
}
