//! Runs a command that executes Rust tests, and names the tests that failed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::workspace::{TaskResult, shown};

/// Prints a command and runs it. Its output is shown as it comes, which is tens of thousands of
/// lines for the whole workspace, so the reason of a failure names the tests.
pub(crate) fn run_tests(command: &mut Command) -> TaskResult {
    let line = shown(command);
    println!("$ {line}");
    let failure = |reason: &dyn core::fmt::Display| format!("`{line}`: {reason}");
    let mut process = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failure(&error))?;
    let output = process.stdout.take().ok_or("the output is not a pipe")?;
    let failed = shown_and_failed(BufReader::new(output));
    let status = process.wait().map_err(|error| failure(&error))?;
    if status.success() {
        return Ok(());
    }
    Err(if failed.is_empty() {
        failure(&status)
    } else {
        failure(&format!("{status}: {}", failed.join(", ")))
    })
}

/// Prints each line, and returns the names of the tests that failed.
fn shown_and_failed(mut output: impl BufRead) -> Vec<String> {
    let mut failed = Vec::new();
    let mut line = Vec::new();
    // An output that cannot be read any more has ended.
    while output
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        failed.extend(failed_test(text.trim_end()).map(str::to_owned));
        line.clear();
    }
    failed
}

/// The name of the test of which a line of the test harness reports that it failed.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tests_are_named() {
        let output: &[u8] = b"running 3 tests\n\
            test a::passes ... ok\n\
            test a::fails ... FAILED\n\
            test src/lib.rs - Type (line 3) ... FAILED\n\
            not UTF-8: \xff\n\
            test result: FAILED. 1 passed; 2 failed\n";
        assert_eq!(
            shown_and_failed(output),
            ["a::fails", "src/lib.rs - Type (line 3)"]
        );
    }

    #[test]
    fn a_command_that_fails_without_a_test_is_a_failure() {
        let mut command = Command::new("false");
        let reason = run_tests(&mut command).expect_err("`false` fails");
        assert!(reason.starts_with("`false`: exit status: 1"), "{reason}");
    }
}
