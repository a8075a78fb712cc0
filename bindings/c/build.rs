//! Gives the shared library its soname: programs find it by its ABI, not its full version.
//!
//! Before 1.0 a minor version may change the ABI, and so is part of the name; cargo-c names
//! it in the same way.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let part = |name: &str| env::var(format!("CARGO_PKG_VERSION_{name}")).unwrap_or_default();
    let abi = match part("MAJOR").as_str() {
        "0" => format!("0.{}", part("MINOR")),
        major => major.to_owned(),
    };
    let is_elf = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os != "macos" && os != "windows");
    if is_elf {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libkeystile.so.{abi}");
    }
}
