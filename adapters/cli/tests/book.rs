//! The pages name commands and options that the program has, and the reference names all of
//! them.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails in a helper fails its test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A command, and the long options that its help lists.
type Commands = BTreeMap<String, BTreeSet<String>>;

fn help(words: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_keystile"));
    let printed = program.arg("help").args(words).output().unwrap();
    assert!(printed.status.success(), "{words:?}");
    String::from_utf8(printed.stdout).unwrap()
}

/// The words after `heading` that begin a line of its list.
fn listed(help: &str) -> BTreeSet<String> {
    let list = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let list = list.split("\n\n").next().unwrap();
    // A line that is indented further continues the one before.
    let names = list
        .lines()
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn options(help: &str) -> BTreeSet<String> {
    help.lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'))
        .filter_map(|line| {
            line.split([' ', ',', '['])
                .find(|word| word.starts_with("--"))
        })
        .map(str::to_owned)
        .collect()
}

/// The options of every command, `template list` among them, and those of the program itself.
fn commands() -> (Commands, BTreeSet<String>) {
    let program = help(&[]);
    let mut global = options(&program);
    global.insert("--help".to_owned());
    let mut commands = Commands::new();
    for name in listed(&program) {
        let text = help(&[&name]);
        let mut own = options(&text);
        for inner in listed(&text) {
            own.extend(options(&help(&[&name, &inner])));
        }
        let own = own.difference(&global).cloned().collect();
        commands.insert(name, own);
    }
    assert!(commands.len() >= 14, "{commands:?}");
    (commands, global)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_reference_has_every_command_and_option_and_no_other() {
    let (commands, _) = commands();
    let page = fs::read_to_string(root().join("docs/reference/cli.md")).unwrap();
    let mut documented = Commands::new();
    for section in page.split("\n## `keystile ").skip(1) {
        let (name, text) = section.split_once('`').unwrap();
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `--"));
        let names = rows.map(|row| format!("--{}", row.split('`').next().unwrap()));
        documented.insert(name.to_owned(), names.collect());
    }
    assert_eq!(documented, commands);
}

#[test]
fn the_readme_has_every_command_and_no_other() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, table) = readme
        .split_once("\n| commands | what they do |\n|---|---|\n")
        .unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let cells = table.lines().map(|row| row.split('|').nth(1).unwrap());
    let named: Vec<String> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    let listed = listed(&help(&[]));
    assert_eq!(named.len(), listed.len(), "each once: {named:?}");
    assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), listed);
    assert!(readme.lines().count() <= 200);
}

/// Commands in code, from `keystile` to the end of the line or of the shell's command.
fn invocations(text: &str) -> Vec<Vec<&str>> {
    let joined = text.split('\n').flat_map(|line| line.split('`'));
    let mut found = Vec::new();
    for line in joined {
        for part in line.split(['|', ';', ')', '&', '#', '>']) {
            let words: Vec<&str> = part.split([' ', '(', '"', '\'', '\\']).collect();
            let at = words.iter().rposition(|word| *word == "keystile");
            // Elsewhere it is a user, a folder or a package.
            let is_run = |at: &usize| words[..*at].iter().all(|word| !is_other(word));
            if let Some(at) = at.filter(is_run) {
                found.push(words[at + 1..].to_vec());
            }
        }
    }
    found
}

#[test]
fn commands_in_the_pages_exist() {
    let (commands, global) = commands();
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for words in invocations(&code(&text)) {
            let command = words.iter().find(|word| !word.starts_with('-'));
            let Some(command) = command.filter(|word| is_name(word)) else {
                continue;
            };
            let own = commands.get(*command);
            assert!(
                own.is_some() || *command == "help",
                "{}: {words:?}",
                page.display()
            );
            count += 1;
            for option in words.iter().filter(|word| is_option(word)) {
                let option = option.split('=').next().unwrap();
                let is_known = own.is_some_and(|own| own.contains(option));
                assert!(
                    is_known || global.contains(option) || option == "--environment",
                    "{}: {option} in {words:?}",
                    page.display()
                );
            }
        }
    }
    assert!(count >= 100, "only {count} commands in the pages");
}

/// Programs that take `keystile` as an argument.
fn is_other(word: &str) -> bool {
    const PROGRAMS: [&str; 9] = [
        "cargo",
        "cd",
        "chown",
        "createdb",
        "install",
        "pkg-config",
        "psql",
        "systemctl",
        "useradd",
    ];
    PROGRAMS.contains(&word)
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn is_option(word: &str) -> bool {
    let name = word.strip_prefix("--").unwrap_or_default();
    name.bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase())
}

/// The blocks that a shell reads, and code inside of sentences.
fn code(page: &str) -> String {
    let mut text = String::new();
    for (index, part) in page.split("```").enumerate() {
        if index % 2 == 0 {
            for code in part.split('`').skip(1).step_by(2) {
                text.push_str(&code.replace('\n', " "));
                text.push('\n');
            }
        } else if part.starts_with("sh") || part.starts_with("console") {
            text.push_str(&part.replace("\\\n", " "));
        }
    }
    text
}

fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md"), root().join("SECURITY.md")];
    let mut folders = vec![root().join("docs"), root().join("adapters/serve")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() >= 30, "{pages:?}");
    pages
}

#[test]
fn an_invented_command_or_option_would_be_found() {
    let text =
        code("Run `keystile frobnicate ID`.\n```sh\nKEY=$(keystile issue --clients A)\n```\n");
    let words = invocations(&text);
    assert_eq!(
        words,
        [vec!["frobnicate", "ID"], vec!["issue", "--clients", "A"]]
    );
}
