//! Where `cargo xtask install` puts files: the prefix, the folder of libraries, and the staging
//! folder that packagers build from.

use std::path::{Path, PathBuf, absolute};

/// The folders of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    prefix: PathBuf,
    /// Inside the prefix.
    libdir: PathBuf,
    staging: Option<PathBuf>,
}

impl Places {
    /// A prefix, a folder of libraries if it is not `lib`, and a staging folder if files are not
    /// to be put in their final place.
    ///
    /// # Errors
    /// A sentence that names the option, if a folder is empty or libraries would be outside the
    /// prefix.
    pub(crate) fn new(
        prefix: &Path,
        libdir: Option<&Path>,
        staging: Option<&Path>,
    ) -> Result<Self, String> {
        let whole = |path: &Path, option: &str| {
            absolute(path).map_err(|error| format!("{option} {}: {error}", path.display()))
        };
        let prefix = whole(prefix, "--prefix")?;
        let libdir = libdir.unwrap_or(Path::new("lib"));
        let inside = match libdir.is_absolute() {
            true => libdir.strip_prefix(&prefix).ok(),
            false => Some(libdir),
        };
        let climbs = |path: &Path| path.components().any(|part| part.as_os_str() == "..");
        match inside {
            Some(inside) if !inside.as_os_str().is_empty() && !climbs(inside) => Ok(Self {
                libdir: inside.to_owned(),
                staging: staging.map(|path| whole(path, "--destdir")).transpose()?,
                prefix,
            }),
            _ => Err(format!(
                "--libdir must be a folder inside the prefix {}, got `{}`",
                prefix.display(),
                libdir.display()
            )),
        }
    }

    /// The prefix, as programs will see it.
    pub(crate) fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The folder of libraries relative to the prefix.
    pub(crate) fn libdir(&self) -> &Path {
        &self.libdir
    }

    /// Whether files are put in a staging folder, from which something else installs them.
    pub(crate) fn is_staged(&self) -> bool {
        self.staging.is_some()
    }

    /// Where a file goes now, from its place under the prefix.
    pub(crate) fn to(&self, inside: impl AsRef<Path>) -> PathBuf {
        let last = self.prefix.join(inside);
        match &self.staging {
            Some(staging) => staging.join(last.strip_prefix("/").unwrap_or(&last)),
            None => last,
        }
    }

    /// Where a file of the folder of libraries goes now.
    pub(crate) fn to_library(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.to(self.libdir.join(inside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(prefix: &str, libdir: Option<&str>, staging: Option<&str>) -> Result<Places, String> {
        Places::new(
            Path::new(prefix),
            libdir.map(Path::new),
            staging.map(Path::new),
        )
    }

    #[test]
    fn a_staging_folder_is_before_the_prefix_and_not_in_it() {
        let direct = places("/usr", None, None).expect("places");
        assert_eq!(direct.to("include/k.h"), Path::new("/usr/include/k.h"));
        assert_eq!(direct.to_library("k.a"), Path::new("/usr/lib/k.a"));
        let staged = places("/usr", Some("/usr/lib64"), Some("/s")).expect("places");
        assert_eq!(staged.to_library("k.a"), Path::new("/s/usr/lib64/k.a"));
        assert_eq!(staged.prefix(), Path::new("/usr"));
        assert!(staged.is_staged() && !direct.is_staged());
        let relative = places("usr", Some("lib/a"), None).expect("places");
        assert!(relative.to_library("k.a").is_absolute());
    }

    #[test]
    fn libraries_outside_the_prefix_are_refused() {
        for libdir in ["/opt/lib", "../lib", "", "/usr", "/usr/../lib"] {
            let error = places("/usr", Some(libdir), None).expect_err(libdir);
            assert!(error.starts_with("--libdir must be"), "{libdir}: {error}");
        }
        assert!(places("", None, None).is_err());
    }
}
