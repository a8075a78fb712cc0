//! Runs a command that executes tests, and repeats which of them failed, and why.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::workspace::{TaskResult, shown};

/// How many of its lines are repeated for each test that failed, and how long one may be.
const SHOWN: usize = 6;
const SHOWN_CHARACTERS: usize = 300;

/// Prints a command and runs it. Its output is shown as it comes, which is tens of thousands of
/// lines for the whole workspace, so the reason of a failure repeats what the tests said.
pub(crate) fn run_tests(command: &mut Command) -> TaskResult {
    let line = shown(command);
    println!("$ {line}");
    let failure = |reason: &dyn core::fmt::Display| format!("`{line}`: {reason}");
    let mut process = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failure(&error))?;
    let output = process.stdout.take().ok_or("the output is not a pipe")?;
    let failures = shown_and_failed(BufReader::new(output));
    let status = process.wait().map_err(|error| failure(&error))?;
    if status.success() {
        return Ok(());
    }
    Err(if failures.is_empty() {
        failure(&status)
    } else {
        failure(&format!("{status}:\n{}", failures.join("\n")))
    })
}

/// Prints each line, and returns what is to be repeated about the tests that failed: their names,
/// each with the first lines that the test printed.
fn shown_and_failed(mut output: impl BufRead) -> Vec<String> {
    let mut failures: Vec<String> = Vec::new();
    let mut line = Vec::new();
    // How many more lines belong to the test that was named last.
    let mut more = 0_usize;
    // An output that cannot be read any more has ended.
    while output
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        let text = text.trim_end();
        if let Some(name) = failed_test(text) {
            failures.push(format!("  {name}"));
            more = SHOWN;
        } else if more > 0 && !text.is_empty() {
            more = more.saturating_sub(1);
            let text: String = text.chars().take(SHOWN_CHARACTERS).collect();
            failures.push(format!("    {}", text.trim_start()));
        } else if more < SHOWN {
            // An empty line ends what a test printed, except directly after its name.
            more = 0;
        }
        line.clear();
    }
    failures
}

/// The name of the test of which a line of Rust's or Go's test harness reports that it failed.
/// What the test printed follows that line.
fn failed_test(line: &str) -> Option<&str> {
    if let Some(rust) = line.strip_prefix("---- ") {
        return rust.strip_suffix(" stdout ----");
    }
    // A package that did not compile, or that ended before its tests did, has no other line.
    let go = line.trim_start().strip_prefix("--- FAIL: ");
    let go = go.or_else(|| line.strip_prefix("FAIL\t"))?;
    go.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tests_of_rust_are_named_with_their_reason() {
        let output: &[u8] = b"running 3 tests\n\
            test a::passes ... ok\n\
            test a::fails ... FAILED\n\
            not UTF-8: \xff\n\n\
            failures:\n\n\
            ---- a::fails stdout ----\n\
            thread 'a::fails' panicked at src/a.rs:3:5:\n\
            1 of 2\n\n\
            failures:\n    a::fails\n\n\
            test result: FAILED. 1 passed; 1 failed\n";
        assert_eq!(
            shown_and_failed(output),
            [
                "  a::fails",
                "    thread 'a::fails' panicked at src/a.rs:3:5:",
                "    1 of 2"
            ]
        );
    }

    #[test]
    fn failed_tests_of_go_are_named_with_their_reason() {
        let mut output = b"ok  \tkeystile/a\t0.1s\n--- FAIL: TestA (0.00s)\n".to_vec();
        output.extend(b"    --- FAIL: TestA/b (0.00s)\n        a_test.go:4: 1 of 2\n".as_slice());
        output.extend("        more\n".repeat(20).bytes());
        output.extend(b"FAIL\tkeystile/b [build failed]\n");
        let failures = shown_and_failed(output.as_slice());
        assert_eq!(
            failures[..3],
            ["  TestA", "  TestA/b", "    a_test.go:4: 1 of 2"]
        );
        assert_eq!(failures[2 + SHOWN..], ["  keystile/b"]);
    }

    #[test]
    fn a_command_that_fails_without_a_test_is_a_failure() {
        let mut command = Command::new("false");
        let reason = run_tests(&mut command).expect_err("`false` fails");
        assert!(reason.starts_with("`false`: exit status: 1"), "{reason}");
    }
}
