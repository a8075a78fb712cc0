//! What a package says about itself: its control file, its licence and its log of changes.

use std::fs;

use super::Debian;
use crate::workspace::Workspace;

const HOMEPAGE: &str = "https://github.com/keystile/keystile";

/// A package, without what all of one build share.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) section: &'static str,
    /// Whether packages of several architectures can be installed at once.
    pub(super) multi_arch: &'static str,
    pub(super) depends: String,
    pub(super) summary: &'static str,
    /// Paragraphs; a line has 80 characters at most.
    pub(super) description: &'static [&'static str],
}

impl Package {
    pub(super) fn control(&self, debian: &Debian<'_>, kibibytes: u64) -> String {
        let multi_arch = match self.multi_arch {
            "" => String::new(),
            value => format!("Multi-Arch: {value}\n"),
        };
        let description: Vec<String> = self
            .description
            .iter()
            .map(|paragraph| paragraph.replace('\n', "\n "))
            .collect();
        format!(
            "Package: {}\nSource: keystile\nVersion: {}\nArchitecture: {}\n{multi_arch}\
             Maintainer: {}\nInstalled-Size: {kibibytes}\nDepends: {}\nSection: {}\n\
             Priority: optional\nHomepage: {HOMEPAGE}\nDescription: {}\n {}\n",
            self.name,
            debian.version,
            debian.architecture,
            debian.maintainer,
            self.depends,
            self.section,
            self.summary,
            description.join("\n .\n ")
        )
    }
}

/// The licence, in the form of DEP-5. Debian has the text of Apache-2.0 in one place.
pub(super) fn copyright(workspace: &Workspace, year: &str) -> Result<String, String> {
    let path = workspace.path("LICENSE-MIT");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let owner = text
        .lines()
        .find_map(|line| line.strip_prefix("Copyright (c) "))
        .ok_or_else(|| format!("{}: expected a line with the owner", path.display()))?;
    let mit: Vec<String> = text
        .lines()
        .skip_while(|line| !line.starts_with("Permission"))
        .map(|line| match line.trim() {
            "" => " .".to_owned(),
            line => format!(" {line}"),
        })
        .collect();
    Ok(format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: keystile\nSource: {HOMEPAGE}\n\
         Comment: THIRD-PARTY-NOTICES.gz beside this file has the licences of the crates that\n \
         are linked.\n\n\
         Files: *\nCopyright: {year} {owner}\nLicense: Apache-2.0 or Expat\n\n\
         License: Apache-2.0\n On Debian systems, the text is in\n \
         /usr/share/common-licenses/Apache-2.0.\n\n\
         License: Expat\n{}\n",
        mit.join("\n")
    ))
}

/// The log of the packaging; that of keystile is CHANGELOG.md.
pub(super) fn changelog(debian: &Debian<'_>, date: &str) -> String {
    format!(
        "keystile ({}) unstable; urgency=medium\n\n  \
         * keystile {}. Its changes are in changelog.gz.\n\n \
         -- {}  {date}\n",
        debian.version, debian.upstream, debian.maintainer
    )
}
