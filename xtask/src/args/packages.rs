//! The options of the tasks that install and package.

use std::path::PathBuf;

use crate::archives::{TARGETS, Target};
use crate::capi::Places;

const INSTALL_EXPECTED: &str =
    "`install` expects --prefix DIRECTORY, and accepts --libdir DIRECTORY and --destdir DIRECTORY";
const DEB_EXPECTED: &str = "`deb` expects --to DIRECTORY";
const ARCHIVES_EXPECTED: &str =
    "`archives` expects --to DIRECTORY, and accepts --target NAME several times";

/// Parses the words after `install`; `destdir` is the variable of this name, which packagers set.
pub(super) fn install(
    mut words: impl Iterator<Item = String>,
    destdir: Option<PathBuf>,
) -> Result<Places, String> {
    let (mut prefix, mut libdir, mut staging) = (None, None, None);
    while let Some(word) = words.next() {
        let place = match word.as_str() {
            "--prefix" => &mut prefix,
            "--libdir" => &mut libdir,
            "--destdir" => &mut staging,
            _ => return Err(INSTALL_EXPECTED.to_owned()),
        };
        let folder = words.next().ok_or(INSTALL_EXPECTED)?;
        if place.replace(PathBuf::from(folder)).is_some() {
            return Err(format!("{word} is given twice"));
        }
    }
    let prefix = prefix.ok_or(INSTALL_EXPECTED)?;
    // An empty variable is as none, as in makefiles.
    let destdir = destdir.filter(|folder| !folder.as_os_str().is_empty());
    Places::new(&prefix, libdir.as_deref(), staging.or(destdir).as_deref())
}

/// Parses the words after `deb`.
pub(super) fn deb(mut words: impl Iterator<Item = String>) -> Result<PathBuf, String> {
    match (words.next().as_deref(), words.next(), words.next()) {
        (Some("--to"), Some(to), None) => Ok(to.into()),
        _ => Err(DEB_EXPECTED.to_owned()),
    }
}

/// Parses the words after `archives`. Without a target, all that this machine can build.
pub(super) fn archives(
    mut words: impl Iterator<Item = String>,
) -> Result<(PathBuf, Vec<&'static Target>), String> {
    let (mut to, mut targets) = (None, Vec::new());
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()) {
            ("--to", Some(folder)) => to = Some(PathBuf::from(folder)),
            ("--target", Some(name)) => {
                let known = TARGETS.iter().find(|target| target.name == name);
                let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
                targets.push(known.ok_or_else(|| {
                    format!(
                        "unknown target `{name}`; the targets are {}",
                        names.join(", ")
                    )
                })?);
            }
            _ => return Err(ARCHIVES_EXPECTED.to_owned()),
        }
    }
    if targets.is_empty() {
        targets.extend(TARGETS.iter().filter(|target| target.is_buildable_here()));
    }
    Ok((to.ok_or(ARCHIVES_EXPECTED)?, targets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> impl Iterator<Item = String> {
        line.split_whitespace().map(str::to_owned)
    }

    #[test]
    fn the_option_wins_over_the_variable_for_staging() {
        let staged = |line: &str, variable: Option<&str>| {
            let places = install(words(line), variable.map(PathBuf::from)).expect("places");
            places.to("k.h")
        };
        assert_eq!(staged("--prefix /usr", None), PathBuf::from("/usr/k.h"));
        assert_eq!(staged("--prefix /usr", Some("")), PathBuf::from("/usr/k.h"));
        let by_variable = staged("--prefix /usr", Some("/v"));
        assert_eq!(by_variable, PathBuf::from("/v/usr/k.h"));
        let by_option = staged("--destdir /o --prefix /usr", Some("/v"));
        assert_eq!(by_option, PathBuf::from("/o/usr/k.h"));
    }

    #[test]
    fn unknown_and_repeated_options_are_refused() {
        for (line, expected) in [
            ("", "--prefix DIRECTORY"),
            ("--prefix", "--prefix DIRECTORY"),
            ("--prefix /usr /opt", "--prefix DIRECTORY"),
            ("--prefix /usr --prefix /opt", "--prefix is given twice"),
            ("--prefix /usr --libdir /opt/lib", "--libdir must be"),
        ] {
            let error = install(words(line), None).expect_err(line);
            assert!(error.contains(expected), "{line}: {error}");
        }
        assert!(deb(words("--to out more")).is_err() && deb(words("")).is_err());
    }

    #[test]
    fn archives_are_for_known_targets() {
        let (to, targets) =
            archives(words("--target linux-x86_64-musl --to out")).expect("archives");
        let names: Vec<&str> = targets.iter().map(|target| target.name).collect();
        assert_eq!((to, names), ("out".into(), vec!["linux-x86_64-musl"]));
        for (line, expected) in [
            (
                "--to out --target plan9",
                "the targets are linux-x86_64-gnu",
            ),
            ("--target linux-x86_64-musl", "--to DIRECTORY"),
        ] {
            let error = archives(words(line)).expect_err(line);
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
