//! The ABI: the library exports what the header declares, compatible with the baseline.
//!
//! The header is generated from the library's source, so it has the layout of every public
//! type and of no private one. libabigail compares a library of empty functions that is
//! compiled from the header: in the real one it would see each private field of a handle.

use core::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::library::Library;
use super::prototypes::Header;
use super::symbols;
use crate::workspace::{TaskResult, Workspace, run};

/// The ABI of the last release, as libabigail writes it.
const BASELINE: &str = "bindings/c/abi/keystile.abi";
const HEADER: &str = "include/keystile.h";
/// Until there is a release, a difference from the baseline is reported and does not fail.
const IS_RELEASED: bool = false;

/// Compares the exported symbols with the header, and the types with the baseline.
pub(crate) fn compare(workspace: &Workspace) -> TaskResult {
    exports(workspace, &Library::release(workspace)?)?;
    let current = stub(workspace, "current", &header_text(workspace)?)?;
    let differences = run(abidiff(workspace).arg(BASELINE).arg(&current));
    if IS_RELEASED {
        differences?;
    } else if differences.is_err() {
        println!("the ABI differs from {BASELINE}; it may until it is released");
    }
    // The comparison is of no use unless it can fail.
    for (original, changed) in [
        ("uint64_t created_at;", "uint32_t created_at;"),
        (
            "KEYSTILE_DENIED_PERMISSION = 111",
            "KEYSTILE_DENIED_PERMISSION = 9",
        ),
        ("uint64_t now,", "uint32_t now,"),
    ] {
        let text = header_text(workspace)?;
        if !text.contains(original) {
            return Err(format!("{HEADER}: expected `{original}`"));
        }
        let broken = stub(workspace, "broken", &text.replacen(original, changed, 1))?;
        let compared = abidiff(workspace).arg(&current).arg(&broken).output();
        match compared {
            Ok(output) if output.status.success() => {
                return Err(format!(
                    "expected abidiff to report `{changed}`, which it did not"
                ));
            }
            Ok(_) => println!("abidiff reports `{changed}`, as it should"),
            Err(error) => return Err(format!("abidiff: {error}")),
        }
    }
    Ok(())
}

/// `cargo xtask abi-baseline`: makes today's header the baseline for later ones.
pub(crate) fn baseline(workspace: &Workspace) -> TaskResult {
    let current = stub(workspace, "current", &header_text(workspace)?)?;
    let path = workspace.path(BASELINE);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    run(workspace
        .command("abidw")
        .args(["--no-corpus-path", "--no-comp-dir-path", "--no-show-locs"])
        .args([
            "--no-parameter-names",
            "--drop-undefined-syms",
            "--out-file",
        ])
        .arg(&path)
        .arg(&current))
}

fn exports(workspace: &Workspace, library: &Library) -> TaskResult {
    let functions = Header::read(workspace)?.functions;
    let mut declared: Vec<String> = functions
        .into_iter()
        .map(|function| function.name)
        .collect();
    declared.sort();
    let exported = symbols(workspace, &library.shared, &["-D"])?;
    if exported != declared {
        let extra = exported.iter().filter(|name| !declared.contains(name));
        let lacking = declared.iter().filter(|name| !exported.contains(name));
        return Err(format!(
            "the shared library exports {:?}, which the header lacks, and lacks {:?} of the header",
            extra.collect::<Vec<_>>(),
            lacking.collect::<Vec<_>>()
        ));
    }
    println!(
        "the library exports the {} functions of the header and no others",
        declared.len()
    );
    let mut shown = symbols(workspace, &library.archive, &["-g"])?;
    shown.retain(|name| !declared.contains(name) && !name.starts_with("DW.ref."));
    if shown.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "expected the archive to export only functions of the header: {shown:?}"
        ))
    }
}

/// New functions are allowed; any other change is a failure.
fn abidiff(workspace: &Workspace) -> Command {
    let mut abidiff = workspace.command("abidiff");
    abidiff.args(["--no-added-syms", "--fail-no-debug-info"]);
    abidiff
}

fn header_text(workspace: &Workspace) -> Result<String, String> {
    fs::read_to_string(workspace.path(HEADER)).map_err(|error| format!("{HEADER}: {error}"))
}

/// A library of empty functions with the interface of a header.
fn stub(workspace: &Workspace, name: &str, text: &str) -> Result<PathBuf, String> {
    let folder = workspace.target_path("capi/abi").join(name);
    let write = |file: &str, text: &str| {
        let path = folder.join(file);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let text = with_tags(text);
    write("keystile.h", &text)?;
    write("stub.c", &code(&text))?;
    let library = folder.join("libkeystile.so");
    compile(workspace, &folder, &library)?;
    Ok(library)
}

/// The header with tags for the enumerations, as it is in C++: the debug information names them.
fn with_tags(text: &str) -> String {
    let mut tagged = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().copied().unwrap_or_default();
        match next.split_once(" : ") {
            Some((named, _)) if line.starts_with("#if") && named.starts_with("enum ") => {
                tagged.push_str(named);
                // The line itself, `#else`, `enum` and `#endif`.
                lines.nth(3);
            }
            _ => tagged.push_str(line),
        }
        tagged.push('\n');
    }
    tagged
}

/// Compiles in the stub's folder, so that the debug information names no folder of this
/// machine.
fn compile(workspace: &Workspace, folder: &Path, library: &Path) -> TaskResult {
    let mut gcc = workspace.command("gcc");
    gcc.current_dir(folder);
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
    // Fields and parameters are plain numbers, so the enumerations need functions that name
    // them to be in the debug information.
    for (count, part) in text.split("\nenum ").skip(1).enumerate() {
        let name = part.split_whitespace().next().unwrap_or_default();
        let _ = writeln!(
            code,
            "void numbers_{count}(enum {name} number) {{ (void)number; }}"
        );
    }
    code
}
