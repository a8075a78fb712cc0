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
    let system = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let arg = match system.as_str() {
        "windows" => return,
        "macos" => format!("-Wl,-install_name,@rpath/libkeystile.{abi}.dylib"),
        _ => format!("-Wl,-soname,libkeystile.so.{abi}"),
    };
    println!("cargo::rustc-cdylib-link-arg={arg}");
}
