//! The ABI: what the library exports is what the header declares, and what it was before.
//!
//! The header is made from the library's source, so it tells the layout of everything that
//! crosses the wall and nothing of what lies behind it. A library of empty functions,
//! compiled from the header, is what libabigail compares: the real one would show it each
//! private field of a handle.

use core::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::library::Library;
use super::prototypes::Header;
use super::symbols;
use crate::house::{Done, House, run};

/// The ABI of the last release, as libabigail writes it.
const BASELINE: &str = "bindings/c/abi/keystile.abi";
const HEADER: &str = "include/keystile.h";
/// Until there is a release, a difference from the baseline is reported and does not fail.
const IS_RELEASED: bool = false;

/// Holds the exported symbols against the header, and the types against the baseline.
pub(crate) fn compare(house: &House) -> Done {
    exports(house, &Library::release(house)?)?;
    let own = stub(house, "own", &header_text(house)?)?;
    let differences = run(abidiff(house).arg(BASELINE).arg(&own));
    if IS_RELEASED {
        differences?;
    } else if differences.is_err() {
        println!("the ABI differs from {BASELINE}; it may until it is released");
    }
    // The comparison is no use unless it can fail.
    for (place, changed) in [
        ("uint64_t created_at;", "uint32_t created_at;"),
        (
            "KEYSTILE_DENIED_PERMISSION = 111",
            "KEYSTILE_DENIED_PERMISSION = 9",
        ),
        ("uint64_t now,", "uint32_t now,"),
    ] {
        let text = header_text(house)?;
        if !text.contains(place) {
            return Err(format!("{HEADER} has no `{place}`"));
        }
        let broken = stub(house, "broken", &text.replacen(place, changed, 1))?;
        let compared = abidiff(house).arg(&own).arg(&broken).output();
        match compared {
            Ok(output) if output.status.success() => {
                return Err(format!("`{changed}` was not noticed"));
            }
            Ok(_) => println!("`{changed}` would be noticed"),
            Err(error) => return Err(format!("abidiff: {error}")),
        }
    }
    Ok(())
}

/// `cargo xtask abi-baseline`: what the header says now is what later ones are held against.
pub(crate) fn baseline(house: &House) -> Done {
    let own = stub(house, "own", &header_text(house)?)?;
    let path = house.path(BASELINE);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    run(house
        .command("abidw")
        .args(["--no-corpus-path", "--no-comp-dir-path", "--no-show-locs"])
        .args([
            "--no-parameter-names",
            "--drop-undefined-syms",
            "--out-file",
        ])
        .arg(&path)
        .arg(&own))
}

fn exports(house: &House, library: &Library) -> Done {
    let functions = Header::read(house)?.functions;
    let mut declared: Vec<String> = functions.into_iter().map(|own| own.name).collect();
    declared.sort();
    let exported = symbols(house, &library.shared, &["-D"])?;
    if exported != declared {
        let extra = exported.iter().filter(|name| !declared.contains(name));
        let lacking = declared.iter().filter(|name| !exported.contains(name));
        return Err(format!(
            "the shared library exports {:?} beyond the header and lacks {:?} of it",
            extra.collect::<Vec<_>>(),
            lacking.collect::<Vec<_>>()
        ));
    }
    println!("{} functions, all of them and no others", declared.len());
    let mut shown = symbols(house, &library.archive, &["-g"])?;
    shown.retain(|name| !declared.contains(name) && !name.starts_with("DW.ref."));
    if shown.is_empty() {
        Ok(())
    } else {
        Err(format!("the archive shows {shown:?} as well"))
    }
}

/// New functions are no break; all else is.
fn abidiff(house: &House) -> Command {
    let mut abidiff = house.command("abidiff");
    abidiff.args(["--no-added-syms", "--fail-no-debug-info"]);
    abidiff
}

fn header_text(house: &House) -> Result<String, String> {
    fs::read_to_string(house.path(HEADER)).map_err(|error| format!("{HEADER}: {error}"))
}

/// A library that does nothing, with the interface of a header.
fn stub(house: &House, name: &str, text: &str) -> Result<PathBuf, String> {
    let place = house.target_path("capi/abi").join(name);
    let write = |file: &str, text: &str| {
        let path = place.join(file);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    write("keystile.h", text)?;
    write("stub.c", &code(text))?;
    let library = place.join("libkeystile.so");
    compile(house, &place, &library)?;
    Ok(library)
}

/// In its own place, so that what is written of it tells no folder of this machine.
fn compile(house: &House, place: &Path, library: &Path) -> Done {
    let mut gcc = house.command("gcc");
    gcc.current_dir(place);
    gcc.args(["-std=c99", "-g", "-shared", "-fPIC", "-I.", "stub.c", "-o"]);
    run(gcc.arg(library))
}

fn code(text: &str) -> String {
    let mut code = String::from("#include \"keystile.h\"\n\n");
    for function in Header::parse(text).functions {
        let parameters: Vec<String> = function
            .parameters
            .iter()
            .map(|parameter| format!("{} {}", parameter.kind, parameter.name))
            .collect();
        let body = if function.returns == "void" {
            ""
        } else {
            "return 0;"
        };
        let _ = writeln!(
            code,
            "{} {}({}) {{ {body} }}",
            function.returns,
            function.name,
            if parameters.is_empty() {
                "void".to_owned()
            } else {
                parameters.join(", ")
            }
        );
    }
    // Fields and parameters are plain numbers; this way the enumerations are seen as well.
    for (count, part) in text.split("\nenum ").skip(1).enumerate() {
        let name = part.split_whitespace().next().unwrap_or_default();
        let _ = writeln!(
            code,
            "void numbers_{count}(enum {name} number) {{ (void)number; }}"
        );
    }
    code
}
