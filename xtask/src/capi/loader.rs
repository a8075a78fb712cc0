//! Whether programs will find an installed shared library, and what has to be done if not.

use std::path::Path;

use super::places::Places;
use crate::workspace::{Workspace, output};

/// What the person who installs has to do next, as a sentence.
pub(crate) fn advice(workspace: &Workspace, places: &Places) -> String {
    let folder = places.prefix().join(places.libdir());
    if places.is_staged() {
        return format!(
            "staged: run `ldconfig` on the machine where {} is installed",
            folder.display()
        );
    }
    // `-N` and `-X` change nothing: it prints which folders it would search.
    let listed = ["ldconfig", "/sbin/ldconfig"].iter().find_map(|program| {
        let listed = output(workspace.command(program).args(["-v", "-N", "-X"]));
        listed.ok()
    });
    sentence(&folder, listed.as_deref())
}

fn sentence(folder: &Path, listed: Option<&str>) -> String {
    let shown = folder.display();
    let is_searched = listed.is_some_and(|listed| {
        searched(listed).any(|searched| {
            let same = |one: &Path, other: &Path| {
                one == other
                    || one
                        .canonicalize()
                        .is_ok_and(|one| Some(one) == other.canonicalize().ok())
            };
            same(Path::new(searched), folder)
        })
    });
    if is_searched {
        format!(
            "run `ldconfig` as root now: until then programs do not find the library in {shown}"
        )
    } else {
        format!(
            "programs do not search {shown}: set LD_LIBRARY_PATH, link with -Wl,-rpath,{shown}, or \
             add it to /etc/ld.so.conf.d and run `ldconfig`"
        )
    }
}

/// The folders in the output of `ldconfig -v`: each starts a line, and ends with a colon.
fn searched(listed: &str) -> impl Iterator<Item = &str> {
    listed
        .lines()
        .filter(|line| line.starts_with('/'))
        .filter_map(|line| line.split_once(':').map(|(folder, _)| folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_searched_needs_ldconfig_and_another_one_a_setting() {
        let listed = "/usr/local/lib: (from /etc/ld.so.conf.d/libc.conf:2)\n\tlibk.so.1 -> k\n\
                      /nowhere/lib:\n";
        let advice = |folder: &str| sentence(Path::new(folder), Some(listed));
        assert!(advice("/usr/local/lib").starts_with("run `ldconfig` as root"));
        assert!(advice("/nowhere/lib").starts_with("run `ldconfig` as root"));
        assert!(advice("/opt/lib").contains("LD_LIBRARY_PATH"));
        assert!(sentence(Path::new("/nowhere/lib"), None).contains("LD_LIBRARY_PATH"));
    }
}
