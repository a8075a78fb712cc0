//! The example of the README does what its comments document.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test fails where the product must not"
)]

use std::path::Path;
use std::process::Command;

#[test]
fn the_example_of_the_readme_runs() {
    let readme = include_str!("../README.md");
    let (_, example) = readme.split_once("## Example").unwrap();
    let (_, block) = example.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let script: String = block
        .lines()
        .map(|line| format!("{line}\necho \"exit code $?\"\n"))
        .collect();

    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_keystile")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let ran = Command::new("sh")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", format!("{}:{path}", program.display()))
        .env_remove("KEYSTILE_STORE")
        .env_remove("KEYSTILE_KEY")
        .env_remove("KEYSTILE_PEPPER")
        .output()
        .unwrap();
    let output = String::from_utf8(ran.stdout).unwrap();
    let mut answers = output.lines();
    for line in block.lines() {
        let expected = line.split_once(" # ").map_or("", |(_, comment)| comment);
        let (decision, code) = match expected.trim() {
            "" => ("", "0"),
            comment => comment.split_once(", exit code ").unwrap(),
        };
        if !decision.is_empty() {
            let answer: Vec<&str> = answers.next().unwrap().split_whitespace().collect();
            assert!(answer.join(" ").starts_with(decision), "{output}");
        }
        assert_eq!(
            answers.next(),
            Some(&*format!("exit code {code}")),
            "{output}"
        );
    }
    assert_eq!(answers.next(), None, "{output}");
}
