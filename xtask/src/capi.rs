//! The C ABI: the library is built as it is shipped, and C programs test it.

mod abi;
mod compile;
mod examples;
mod install;
mod library;
mod loader;
mod localise;
mod migrations;
mod misuse;
mod one_database;
mod package;
mod places;
mod prototypes;
mod store;
mod threads;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{TaskResult, Workspace, output, run};
use prototypes::Header;

pub(crate) use abi::{baseline, compare};
pub(crate) use compile::cargo;
pub(crate) use examples::run as examples;
pub(crate) use install::{DOCUMENTS, abi_version, install, install_library, version};
pub(crate) use library::Library;
pub(crate) use localise::Binutils;
pub(crate) use one_database::run as one_database;
pub(crate) use package::run_package as package;
pub(crate) use places::Places;
pub(crate) use store::store;
pub(crate) use threads::{missing_source, run_threads as threads};

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
/// Programs without arguments, each of which uses a part of the interface.
const TOURS: [&str; 10] = [
    "basics", "keyrings", "changes", "derived", "explain", "errors", "sizes", "names", "decide",
    "tokens",
];
const SOURCES: &str = "bindings/c/tests/c";
/// The store for SQLite, which programs copy.
const STORE: &str = "bindings/c/adapters/sqlite";
const VECTORS: [&str; 7] = [
    "vectors.c",
    "vectors_keys.c",
    "vectors_rights.c",
    "vectors_requests.c",
    "vectors_lives.c",
    "vectors_change.c",
    "reader.c",
];
/// The system libraries that a Rust archive needs.
const SYSTEM: [&str; 3] = ["-lpthread", "-lm", "-ldl"];

/// `cargo xtask header`: writes the header again, and the migrations of the store in C.
pub(crate) fn header(workspace: &Workspace) -> TaskResult {
    migrations::write(workspace)?;
    let mut cargo = workspace.command("cargo");
    cargo.args(["test", "--package", "keystile-capi", "--test", "header"]);
    run(cargo.env("KEYSTILE_WRITE_HEADER", "1"))
}

/// The archive as it is shipped.
pub(crate) fn archive(workspace: &Workspace) -> Result<PathBuf, String> {
    Ok(Library::release(workspace)?.archive)
}

/// The tour under both compilers, as C and as C++, and the shared vectors.
pub(crate) fn tests(workspace: &Workspace) -> TaskResult {
    let bench = Bench::new(workspace, Library::release(workspace)?)?;
    for (compiler, standard) in [
        ("gcc", "c99"),
        ("clang", "c99"),
        ("g++", "c++11"),
        ("clang++", "c++11"),
    ] {
        for tour in TOURS {
            let source = format!("{tour}.c");
            let program = bench.compile(compiler, standard, tour, &[&source], &[])?;
            run(&mut workspace.command(&program))?;
        }
    }
    for compiler in ["gcc", "clang"] {
        let program = bench.vectors(compiler, &[])?;
        run(workspace
            .command(&program)
            .arg(workspace.path("tests/vectors")))?;
        for standard in ["c99", "c11", "c17"] {
            let flags = ["-Wc++-compat", "-Wconversion"];
            bench.compile(compiler, standard, "header", &["header.c"], &flags)?;
        }
    }
    for (compiler, standard) in [("g++", "c++11"), ("clang++", "c++11"), ("g++", "c++20")] {
        bench.compile(
            compiler,
            standard,
            "header",
            &["header.c"],
            &["-Wconversion"],
        )?;
    }
    // Enumerations with a fixed type, as C23 has them, which older compilers know as an extension.
    let as_c23 = [
        "-U__STDC_VERSION__",
        "-D__STDC_VERSION__=202311L",
        "-Wno-fixed-enum-extension",
        "-Wno-builtin-macro-redefined",
    ];
    for source in ["header", "basics"] {
        bench.compile("clang", "c2x", source, &[&format!("{source}.c")], &as_c23)?;
    }
    let unload = bench.compile("gcc", "gnu99", "unload", &["unload.c"], &[])?;
    run(workspace.command(&unload).arg(&bench.library.shared))?;
    let forks = bench.compile("gcc", "gnu99", "forks", &["forks.c"], &[])?;
    run(workspace.command(&forks).arg("200"))?;
    // The control, which has a lock and no guard, must be seen to hang.
    run(workspace.command(&forks).args(["5000", "unguarded"]))
}

/// Runs each misuse that can be derived from the header, and a panic in each function.
pub(crate) fn misuse(workspace: &Workspace) -> TaskResult {
    let header = Header::read(workspace)?;
    let bench = Bench::new(workspace, Library::release(workspace)?)?;
    run(&mut workspace.command(&bench.matrix(&header, "gcc", &[])?))?;
    let bench = Bench::new(workspace, Library::with_panics(workspace)?)?;
    let source = bench.generate("panics.c", &misuse::panics(&header))?;
    let program = bench.compile("gcc", "c99", "panics", &[&source], &[])?;
    run(workspace.command(&program).env("RUST_BACKTRACE", "0"))
}

/// Runs the same programs under the address and undefined-behaviour sanitizers.
pub(crate) fn sanitizers(workspace: &Workspace) -> TaskResult {
    let header = Header::read(workspace)?;
    let bench = Bench::new(workspace, Library::release(workspace)?)?;
    let flags = [
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        "-fno-omit-frame-pointer",
    ];
    for tour in TOURS {
        let (name, source) = (format!("{tour}-asan"), format!("{tour}.c"));
        let program = bench.compile("gcc", "c99", &name, &[&source], &flags)?;
        run(&mut workspace.command(&program))?;
    }
    run(&mut workspace.command(&bench.matrix(&header, "gcc", &flags)?))?;
    let vectors = bench.vectors("gcc", &flags)?;
    run(workspace
        .command(&vectors)
        .arg(workspace.path("tests/vectors")))
}

/// Memory errors, leaks and constant time under valgrind.
pub(crate) fn valgrind(workspace: &Workspace) -> TaskResult {
    let header = Header::read(workspace)?;
    let bench = Bench::new(workspace, Library::release(workspace)?)?;
    let matrix = bench.matrix(&header, "gcc", &[])?;
    let vectors = bench.vectors("gcc", &[])?;
    for tour in TOURS {
        let source = format!("{tour}.c");
        let program = bench.compile("gcc", "c99", tour, &[&source], &[])?;
        run(memcheck(workspace).arg(program))?;
    }
    run(memcheck(workspace).arg(matrix))?;
    run(memcheck(workspace)
        .arg(vectors)
        .arg(workspace.path("tests/vectors")))?;

    let timing = bench.compile("gcc", "gnu99", "constant_time", &["constant_time.c"], &[])?;
    run(memcheck(workspace).arg(&timing).arg("digest"))?;
    let mut leaky = memcheck(workspace);
    leaky.arg(&timing).arg("leaky");
    match leaky.status() {
        Ok(status) if status.code() == Some(VALGRIND_FOUND) => {}
        other => {
            return Err(format!(
                "expected valgrind to report the leaky control, which it did not: {other:?}"
            ));
        }
    }
    Ok(())
}

/// Valgrind's exit code when it found an error.
const VALGRIND_FOUND: i32 = 99;

fn memcheck(workspace: &Workspace) -> Command {
    let mut valgrind = workspace.command("valgrind");
    valgrind.args([
        "--quiet",
        "--leak-check=full",
        "--show-leak-kinds=definite,indirect,possible",
        "--errors-for-leak-kinds=definite,indirect,possible",
    ]);
    valgrind.arg(format!("--error-exitcode={VALGRIND_FOUND}"));
    valgrind.arg(format!("--suppressions={SOURCES}/valgrind.supp"));
    valgrind
}

/// Checks that memory stays constant over ten million keys, that a cached check allocates
/// nothing, and that each allocation of a tour may fail.
pub(crate) fn memory(workspace: &Workspace) -> TaskResult {
    let bench = Bench::new(workspace, Library::release(workspace)?)?;
    let program = bench.compile("gcc", "gnu99", "memory", &["memory.c"], &["-O2"])?;
    run(workspace.command(&program).arg("10000000"))?;
    run(workspace
        .command(&warm_allow(workspace)?)
        .args(["1000", "1"]))?;
    let library = Library::release(workspace)?;
    run(&mut workspace.command(&counted(workspace, library, "allocation")?))
}

/// `cargo xtask bench-capi`: the cost of the C call and of the Rust call.
pub(crate) fn bench(workspace: &Workspace) -> TaskResult {
    run(workspace
        .command(&warm_allow(workspace)?)
        .args(["20000", "501"]))
}

fn warm_allow(workspace: &Workspace) -> Result<String, String> {
    counted(
        workspace,
        Library::with_comparison(workspace)?,
        "warm_allow",
    )
}

/// A program that replaces the allocation functions, so that it can count each allocation
/// of the library.
fn counted(workspace: &Workspace, library: Library, name: &str) -> Result<String, String> {
    let bench = Bench::new(workspace, library)?;
    let wraps = ["malloc", "calloc", "realloc", "posix_memalign"];
    let wraps = wraps.map(|name| format!("-Wl,--wrap={name}"));
    let mut flags = vec!["-O2"];
    flags.extend(wraps.iter().map(String::as_str));
    bench.compile("gcc", "gnu99", name, &[&format!("{name}.c")], &flags)
}

/// A library, and the folder in which programs are compiled against it.
pub(crate) struct Bench<'a> {
    workspace: &'a Workspace,
    library: Library,
    folder: PathBuf,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(workspace: &'a Workspace, library: Library) -> Result<Self, String> {
        let folder = library.folder.join("programs");
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self {
            workspace,
            library,
            folder,
        })
    }

    /// Compiles sources; a relative path is one in the folder of the tests.
    pub(crate) fn compile(
        &self,
        compiler: &str,
        standard: &str,
        name: &str,
        sources: &[&str],
        flags: &[&str],
    ) -> Result<String, String> {
        let program = self.folder.join(format!("{name}-{compiler}"));
        let mut command = self.workspace.command(compiler);
        command.arg(format!("-std={standard}")).args(WARNINGS);
        command.arg("-g").args(flags).arg("-I").arg("include");
        command.arg("-I").arg(SOURCES).arg("-I").arg(STORE);
        if standard.starts_with("c++") {
            command.args(["-x", "c++"]);
        }
        command.args(sources.iter().map(|source| Path::new(SOURCES).join(source)));
        command.args(["-x", "none"]).arg(&self.library.archive);
        command.args(flags.iter().filter(|flag| flag.starts_with("-l")));
        command.args(SYSTEM).arg("-o").arg(&program);
        run(&mut command)?;
        Ok(program.display().to_string())
    }

    /// The sources of the store for SQLite.
    pub(crate) fn store(&self) -> Result<Vec<String>, String> {
        let folder = self.workspace.path(STORE);
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        let mut sources = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|end| end == "c") {
                sources.push(path.display().to_string());
            }
        }
        sources.sort();
        Ok(sources)
    }

    fn vectors(&self, compiler: &str, flags: &[&str]) -> Result<String, String> {
        let mut all = flags.to_vec();
        all.push("-ljansson");
        let name = if flags.is_empty() {
            "vectors"
        } else {
            "vectors-asan"
        };
        self.compile(compiler, "c99", name, &VECTORS, &all)
    }

    fn matrix(&self, header: &Header, compiler: &str, flags: &[&str]) -> Result<String, String> {
        let source = self.generate("matrix.c", &misuse::matrix(header))?;
        let name = if flags.is_empty() {
            "matrix"
        } else {
            "matrix-asan"
        };
        self.compile(compiler, "c99", name, &[&source], flags)
    }

    fn generate(&self, name: &str, code: &str) -> Result<String, String> {
        let path = self.folder.join(name);
        fs::write(&path, code).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path.display().to_string())
    }
}

/// The names of the symbols that a library exports.
fn symbols(
    workspace: &Workspace,
    nm: &str,
    library: &Path,
    flags: &[&str],
) -> Result<Vec<String>, String> {
    let listed = output(
        workspace
            .command(nm)
            .args(flags)
            .args(["--defined-only", "--quiet"])
            .arg(library),
    )?;
    let mut names: Vec<String> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .map(str::to_owned)
        .collect();
    names.sort();
    Ok(names)
}
