//! Runs the benchmarks and reads what they measured.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::workspace::{TaskResult, Workspace, output};

/// The time of each benchmark of this run in nanoseconds, and the numbers that they printed.
#[derive(Debug, Default)]
pub(crate) struct Medians {
    times: HashMap<String, f64>,
    printed: HashMap<String, f64>,
}

impl Medians {
    /// The name of the benchmark that runs in Node.
    pub(crate) const NODE: &str = "node/express";

    pub(crate) fn time(&self, name: &str) -> Option<f64> {
        self.times.get(name).copied()
    }

    pub(crate) fn printed(&self, name: &str) -> Option<f64> {
        self.printed.get(name).copied()
    }

    /// Runs one of criterion's benchmarks and reads the median of each of its ids.
    pub(crate) fn bench(
        &mut self,
        workspace: &Workspace,
        bench: &str,
        settings: &[(&str, &str)],
    ) -> TaskResult {
        // Figures of an earlier run must not be taken for figures of this one.
        let results = workspace.target_path("ratios").join(bench);
        if results.exists() {
            fs::remove_dir_all(&results)
                .map_err(|error| format!("{}: {error}", results.display()))?;
        }
        let mut cargo = workspace.command("cargo");
        cargo
            .args(["bench", "--package", "keystile", "--features", "keyring"])
            .args(["--bench", bench])
            .env("CRITERION_HOME", &results)
            .envs(settings.iter().copied())
            .stdout(Stdio::piped());
        println!("$ cargo bench --package keystile --features keyring --bench {bench}");
        let failed = |error| format!("the benchmark {bench}: {error}");
        let mut running = cargo.spawn().map_err(failed)?;
        if let Some(lines) = running.stdout.take() {
            for line in BufReader::new(lines).lines() {
                let line = line.map_err(failed)?;
                println!("{line}");
                self.note(&line);
            }
        }
        let status = running.wait().map_err(failed)?;
        if !status.success() {
            return Err(format!("the benchmark {bench}: {status}"));
        }
        self.read(&results)
    }

    /// Runs the Express recipe's check in Node.
    pub(crate) fn node(&mut self, workspace: &Workspace) -> TaskResult {
        println!("$ node benches/express.mjs");
        let text = output(workspace.command("node").arg("benches/express.mjs"))?;
        let value: Value =
            serde_json::from_str(&text).map_err(|error| format!("benches/express.mjs: {error}"))?;
        let time = value.get("nanoseconds").and_then(Value::as_f64);
        let time = time.ok_or("benches/express.mjs: expected a number of nanoseconds")?;
        self.times.insert(Self::NODE.to_owned(), time);
        Ok(())
    }

    /// Records a line that is a name and a number: `bytes per key among 1000: 285`.
    fn note(&mut self, line: &str) {
        if let Some((name, number)) = line.rsplit_once(": ")
            && let Ok(number) = number.trim().parse()
        {
            self.printed.insert(name.trim().to_owned(), number);
        }
    }

    /// Reads each `new/estimates.json` below a folder; `new/benchmark.json` has the id.
    fn read(&mut self, folder: &Path) -> TaskResult {
        let failed = |error| format!("{}: {error}", folder.display());
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name == "new") {
                let name = string(&path.join("benchmark.json"), "/full_id")?;
                let median = number(&path.join("estimates.json"), "/median/point_estimate")?;
                self.times.insert(name, median);
            } else if path.is_dir() {
                self.read(&path)?;
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn of(times: &[(&str, f64)]) -> Self {
        Self {
            times: times
                .iter()
                .map(|&(name, time)| (name.to_owned(), time))
                .collect(),
            printed: HashMap::new(),
        }
    }
}

fn string(file: &Path, pointer: &str) -> Result<String, String> {
    let value = value(file, pointer)?;
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| format!("{}: expected text at {pointer}", file.display()))
}

fn number(file: &Path, pointer: &str) -> Result<f64, String> {
    let value = value(file, pointer)?;
    let number = value.as_f64();
    number.ok_or_else(|| format!("{}: expected a number at {pointer}", file.display()))
}

fn value(file: &Path, pointer: &str) -> Result<Value, String> {
    let failed = |error: &dyn core::fmt::Display| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(|error| failed(&error))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| failed(&error))?;
    let found = value.pointer(pointer).cloned();
    found.ok_or_else(|| format!("{}: expected {pointer}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_number_is_kept_by_its_name() {
        let mut medians = Medians::default();
        medians.note("bytes per key among 1000: 285");
        medians.note("Benchmarking hot_path/warm_allow: Warming up");
        assert_eq!(medians.printed("bytes per key among 1000"), Some(285.0));
        assert_eq!(medians.printed.len(), 1);
    }
}
