//! The command line.

mod packages;

use std::env;
use std::path::PathBuf;

use crate::archives::Target;
use crate::capi::Places;
use crate::golang::Archive;

/// The usage text.
pub(crate) const USAGE: &str = "\
usage: cargo xtask test [--require-all] [--only STEP...]
       cargo xtask header
       cargo xtask install --prefix DIRECTORY [--libdir DIRECTORY] [--destdir DIRECTORY]
       cargo xtask deb --to DIRECTORY
       cargo xtask archives --to DIRECTORY [--target NAME...]
       cargo xtask abi-baseline
       cargo xtask bench-capi
       cargo xtask go-lib
       cargo xtask go-dist --to DIRECTORY [--archive PLATFORM=FILE...]
       cargo xtask bench-go
       cargo xtask ratios [--quick]
       cargo xtask help

  --require-all   fail if a step is skipped
  --only STEP...  run only these steps

  test            runs every check of the project, or the named steps
  header          writes include/keystile.h from the source of the C crate, and the copies
                  of it and of the licences that packages contain
  install         installs the C library and its header under a prefix; packagers set
                  --destdir, or the variable DESTDIR, and --libdir if it is not PREFIX/lib
  deb             builds the Debian packages
  archives        builds the C library for several systems, one archive for each
  abi-baseline    writes the ABI that later versions are compared with
  bench-capi      measures a cached check from C and from Rust
  go-lib          builds the library that the Go module links, and copies it there
  go-dist         writes the files of a release of the Go module
  bench-go        measures a cached check from Go and the same check written by hand
  ratios          measures a check against its alternatives, and draws the chart;
                  --quick: fewer keys, and only prints the figures";

/// What the program was called to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Help,
    Test(Args),
    Header,
    Install(Places),
    Deb(PathBuf),
    Archives(PathBuf, Vec<&'static Target>),
    AbiBaseline,
    BenchCapi,
    GoLib,
    GoDist(PathBuf, Vec<Archive>),
    BenchGo,
    Ratios { quick: bool },
}

/// The options of `test`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) require_all: bool,
    /// Empty means every step.
    pub(crate) only: Vec<String>,
}

impl Args {
    pub(crate) fn selects(&self, step: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == step)
    }
}

/// Parses the words after the program's name; `steps` are the names that `--only` accepts.
///
/// # Errors
/// A sentence for the user, if a word is not known or `--only` names no step.
pub(crate) fn parse(
    words: impl IntoIterator<Item = String>,
    steps: &[&str],
) -> Result<Task, String> {
    let mut words = words.into_iter().peekable();
    match words.next().as_deref() {
        Some("test") => {}
        Some("help" | "-h" | "--help") => return Ok(Task::Help),
        Some("header") => return without_options(words, Task::Header),
        Some("abi-baseline") => return without_options(words, Task::AbiBaseline),
        Some("bench-capi") => return without_options(words, Task::BenchCapi),
        Some("go-lib") => return without_options(words, Task::GoLib),
        Some("bench-go") => return without_options(words, Task::BenchGo),
        Some("go-dist") => return go_dist(words),
        Some("ratios") => {
            return match (words.next().as_deref(), words.next()) {
                (None, _) => Ok(Task::Ratios { quick: false }),
                (Some("--quick"), None) => Ok(Task::Ratios { quick: true }),
                _ => Err("`ratios` accepts only --quick".to_owned()),
            };
        }
        Some("install") => {
            let destdir = env::var_os("DESTDIR").map(PathBuf::from);
            return packages::install(words, destdir).map(Task::Install);
        }
        Some("deb") => return packages::deb(words).map(Task::Deb),
        Some("archives") => {
            let (to, targets) = packages::archives(words)?;
            return Ok(Task::Archives(to, targets));
        }
        Some(other) => return Err(format!("unknown task `{other}`")),
        None => return Err("expected a task".to_owned()),
    }
    let mut args = Args::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-h" | "--help" => return Ok(Task::Help),
            "--require-all" => args.require_all = true,
            "--only" => {
                let before = args.only.len();
                while let Some(name) = words.next_if(|word| !word.starts_with('-')) {
                    if !steps.contains(&name.as_str()) {
                        let known = steps.join(", ");
                        return Err(format!("unknown step `{name}`; the steps are {known}"));
                    }
                    args.only.push(name);
                }
                if args.only.len() == before {
                    return Err("--only expects the name of a step or several".to_owned());
                }
            }
            other => return Err(format!("`test` does not accept `{other}`")),
        }
    }
    Ok(Task::Test(args))
}

/// Parses the words after `go-dist`.
fn go_dist(mut words: impl Iterator<Item = String>) -> Result<Task, String> {
    let (mut to, mut archives) = (None, Vec::new());
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()) {
            ("--to", Some(folder)) => to = Some(PathBuf::from(folder)),
            ("--archive", Some(archive)) => {
                let parts = archive.split_once('=');
                let (platform, path) = parts.ok_or("--archive expects PLATFORM=FILE")?;
                archives.push(Archive {
                    platform: platform.to_owned(),
                    path: path.into(),
                });
            }
            _ => return Err(GO_DIST_EXPECTED.to_owned()),
        }
    }
    let to = to.ok_or(GO_DIST_EXPECTED)?;
    Ok(Task::GoDist(to, archives))
}

/// A task that accepts no further words.
fn without_options(mut words: impl Iterator<Item = String>, task: Task) -> Result<Task, String> {
    match words.next() {
        None => Ok(task),
        Some(other) => Err(format!("the task does not accept `{other}`")),
    }
}

const GO_DIST_EXPECTED: &str = "`go-dist` expects --to DIRECTORY";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task, String> {
        parse(
            line.split_whitespace().map(str::to_owned),
            &["fmt", "clippy", "fuzz"],
        )
    }

    fn test_args(line: &str) -> Args {
        match parsed(line) {
            Ok(Task::Test(args)) => args,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn without_options_every_step_is_selected() {
        let args = test_args("test");
        assert!(!args.require_all);
        assert!(args.selects("fmt") && args.selects("fuzz"));
    }

    #[test]
    fn options_come_in_any_order() {
        for line in [
            "test --require-all --only fmt fuzz",
            "test --only fmt fuzz --require-all",
            "test --only fmt --require-all --only fuzz",
        ] {
            let args = test_args(line);
            assert!(args.require_all, "{line}");
            assert!(args.selects("fmt") && args.selects("fuzz"), "{line}");
            assert!(!args.selects("clippy"), "{line}");
        }
    }

    #[test]
    fn help_is_recognized_everywhere() {
        for line in ["help", "--help", "-h", "test --help", "test --only fmt -h"] {
            assert_eq!(parsed(line), Ok(Task::Help), "{line}");
        }
    }

    #[test]
    fn the_tasks_of_the_c_library_are_known() {
        assert_eq!(parsed("header"), Ok(Task::Header));
        assert_eq!(parsed("abi-baseline"), Ok(Task::AbiBaseline));
        let places = Places::new("/opt/k".as_ref(), None, None).expect("places");
        assert_eq!(parsed("install --prefix /opt/k"), Ok(Task::Install(places)));
        assert_eq!(parsed("deb --to out"), Ok(Task::Deb("out".into())));
    }

    #[test]
    fn the_tasks_of_the_go_module_are_known() {
        assert_eq!(parsed("go-lib"), Ok(Task::GoLib));
        assert_eq!(parsed("bench-go"), Ok(Task::BenchGo));
        let archive = Archive {
            platform: "linux_arm64".to_owned(),
            path: "a.a".into(),
        };
        assert_eq!(
            parsed("go-dist --archive linux_arm64=a.a --to out"),
            Ok(Task::GoDist("out".into(), vec![archive]))
        );
    }

    #[test]
    fn ratios_are_quick_only_on_request() {
        for (line, quick) in [("ratios", false), ("ratios --quick", true)] {
            assert_eq!(parsed(line), Ok(Task::Ratios { quick }));
        }
    }

    #[test]
    fn unknown_words_are_refused() {
        for (line, expected) in [
            ("", "expected a task"),
            ("tset", "`tset`"),
            ("test fmt", "`fmt`"),
            ("test --requireall", "`--requireall`"),
            ("test --only", "expects the name"),
            ("test --only --require-all", "expects the name"),
            ("test --only fmt frob", "the steps are fmt, clippy, fuzz"),
            ("header now", "`now`"),
            ("go-dist", "--to"),
            ("go-dist --to out --archive a.a", "PLATFORM=FILE"),
            ("ratios --fast", "--quick"),
            ("ratios --quick now", "--quick"),
            ("install", "--prefix"),
            ("install --prefix /usr /opt", "--prefix"),
        ] {
            let message = parsed(line).expect_err(line);
            assert!(message.contains(expected), "{line}: {message}");
        }
    }
}
