//! The systems that a release has an archive of the C library for.

use crate::capi::Binutils;

/// A system that the library is built for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// What the archive is called by.
    pub(crate) name: &'static str,
    /// Rust's name.
    pub(crate) triple: &'static str,
    /// What the Go module calls it.
    pub(crate) go: &'static str,
    /// The oldest glibc that the library works with.
    pub(crate) glibc: Option<&'static str>,
    pub(crate) binutils: Binutils,
    pub(crate) flags: &'static [&'static str],
}

/// Without it, Rust links the C library into everything for musl, and makes no shared library.
const SHARED_MUSL: &[&str] = &["-Ctarget-feature=-crt-static"];
/// The oldest glibc that Rust's standard library works with.
const OLDEST_GLIBC: Option<&str> = Some("2.17");
const X86_64: Binutils = Binutils {
    prefix: "x86_64-linux-gnu-",
    is_mach: false,
};
const ARM64: Binutils = Binutils {
    prefix: "aarch64-linux-gnu-",
    is_mach: false,
};
const APPLE: Binutils = Binutils {
    prefix: "",
    is_mach: true,
};

pub(crate) const TARGETS: [Target; 6] = [
    Target {
        name: "linux-x86_64-gnu",
        triple: "x86_64-unknown-linux-gnu",
        go: "linux_amd64",
        glibc: OLDEST_GLIBC,
        binutils: X86_64,
        flags: &[],
    },
    Target {
        name: "linux-arm64-gnu",
        triple: "aarch64-unknown-linux-gnu",
        go: "linux_arm64",
        glibc: OLDEST_GLIBC,
        binutils: ARM64,
        flags: &[],
    },
    Target {
        name: "linux-x86_64-musl",
        triple: "x86_64-unknown-linux-musl",
        go: "linux_amd64_musl",
        glibc: None,
        binutils: X86_64,
        flags: SHARED_MUSL,
    },
    Target {
        name: "linux-arm64-musl",
        triple: "aarch64-unknown-linux-musl",
        go: "linux_arm64_musl",
        glibc: None,
        binutils: ARM64,
        flags: SHARED_MUSL,
    },
    Target {
        name: "macos-x86_64",
        triple: "x86_64-apple-darwin",
        go: "darwin_amd64",
        glibc: None,
        binutils: APPLE,
        flags: &[],
    },
    Target {
        name: "macos-arm64",
        triple: "aarch64-apple-darwin",
        go: "darwin_arm64",
        glibc: None,
        binutils: APPLE,
        flags: &[],
    },
];

impl Target {
    pub(crate) fn is_musl(&self) -> bool {
        self.triple.ends_with("-musl")
    }

    /// Those of Linux are built on Linux, and those of macOS by Apple's tools.
    pub(crate) fn is_buildable_here(&self) -> bool {
        self.binutils.is_mach == cfg!(target_os = "macos")
    }
}
