//! The C ABI: the library is built as it is shipped, and C programs hold it.

mod abi;
mod examples;
mod install;
mod library;
mod misuse;
mod package;
mod prototypes;
mod threads;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::house::{Done, House, output, run};
use library::Library;
use prototypes::Header;

pub(crate) use abi::{baseline, compare};
pub(crate) use examples::run as examples;
pub(crate) use install::{install, version};
pub(crate) use package::run_package as package;
pub(crate) use threads::{run_threads as threads, without_source};

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
const SOURCES: &str = "bindings/c/tests/c";
const VECTORS: [&str; 6] = [
    "vectors.c",
    "vectors_keys.c",
    "vectors_rights.c",
    "vectors_requests.c",
    "vectors_lives.c",
    "reader.c",
];
/// What a Rust archive needs of the system.
const SYSTEM: [&str; 3] = ["-lpthread", "-lm", "-ldl"];

/// `cargo xtask header`: writes the header anew.
pub(crate) fn header(house: &House) -> Done {
    let mut cargo = house.command("cargo");
    cargo.args(["test", "--package", "keystile-capi", "--test", "header"]);
    run(cargo.env("KEYSTILE_WRITE_HEADER", "1"))
}

/// The archive as it is shipped.
pub(crate) fn archive(house: &House) -> Result<PathBuf, String> {
    Ok(Library::release(house)?.archive)
}

/// The tour under both compilers, as C and as C++, and the shared vectors.
pub(crate) fn tests(house: &House) -> Done {
    let bench = Bench::new(house, Library::release(house)?)?;
    for (compiler, standard) in [
        ("gcc", "c99"),
        ("clang", "c99"),
        ("g++", "c++11"),
        ("clang++", "c++11"),
    ] {
        let program = bench.compile(compiler, standard, "basics", &["basics.c"], &[])?;
        run(&mut house.command(&program))?;
    }
    for compiler in ["gcc", "clang"] {
        let program = bench.vectors(compiler, &[])?;
        run(house.command(&program).arg(house.path("tests/vectors")))?;
    }
    Ok(())
}

/// Each misuse that the header lets one think of, and a panic in each function.
pub(crate) fn misuse(house: &House) -> Done {
    let header = Header::read(house)?;
    let bench = Bench::new(house, Library::release(house)?)?;
    run(&mut house.command(&bench.matrix(&header, "gcc", &[])?))?;
    let bench = Bench::new(house, Library::with_panics(house)?)?;
    let source = bench.generate("panics.c", &misuse::panics(&header))?;
    let program = bench.compile("gcc", "c99", "panics", &[&source], &[])?;
    run(house.command(&program).env("RUST_BACKTRACE", "0"))
}

/// The same programs under the address and undefined-behaviour sanitizers.
pub(crate) fn sanitizers(house: &House) -> Done {
    let header = Header::read(house)?;
    let bench = Bench::new(house, Library::release(house)?)?;
    let flags = [
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        "-fno-omit-frame-pointer",
    ];
    let tour = bench.compile("gcc", "c99", "basics-asan", &["basics.c"], &flags)?;
    run(&mut house.command(&tour))?;
    run(&mut house.command(&bench.matrix(&header, "gcc", &flags)?))?;
    let vectors = bench.vectors("gcc", &flags)?;
    run(house.command(&vectors).arg(house.path("tests/vectors")))
}

/// Memory errors, leaks and constant time under valgrind.
pub(crate) fn valgrind(house: &House) -> Done {
    let header = Header::read(house)?;
    let bench = Bench::new(house, Library::release(house)?)?;
    let tour = bench.compile("gcc", "c99", "basics", &["basics.c"], &[])?;
    let matrix = bench.matrix(&header, "gcc", &[])?;
    let vectors = bench.vectors("gcc", &[])?;
    run(memcheck(house).arg(tour))?;
    run(memcheck(house).arg(matrix))?;
    run(memcheck(house)
        .arg(vectors)
        .arg(house.path("tests/vectors")))?;

    let timing = bench.compile("gcc", "gnu99", "constant_time", &["constant_time.c"], &[])?;
    run(memcheck(house).arg(&timing).arg("digest"))?;
    let mut leaky = memcheck(house);
    leaky.arg(&timing).arg("leaky");
    match leaky.status() {
        Ok(status) if status.code() == Some(VALGRIND_FOUND) => {}
        other => return Err(format!("the leaky control was not caught: {other:?}")),
    }
    Ok(())
}

/// The exit code by which valgrind says that it found something.
const VALGRIND_FOUND: i32 = 99;

fn memcheck(house: &House) -> Command {
    let mut valgrind = house.command("valgrind");
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

/// Ten million keys made, judged and freed, in memory that stays flat; and a warm allow,
/// which allocates nothing at all; and each allocation of a tour that fails once.
pub(crate) fn memory(house: &House) -> Done {
    let bench = Bench::new(house, Library::release(house)?)?;
    let program = bench.compile("gcc", "gnu99", "memory", &["memory.c"], &["-O2"])?;
    run(house.command(&program).arg("10000000"))?;
    run(house.command(&warm_allow(house)?).args(["1000", "1"]))?;
    let library = Library::release(house)?;
    run(&mut house.command(&counted(house, library, "allocation")?))
}

/// `cargo xtask bench-capi`: what the C call costs beside the Rust call.
pub(crate) fn bench(house: &House) -> Done {
    run(house.command(&warm_allow(house)?).args(["20000", "501"]))
}

fn warm_allow(house: &House) -> Result<String, String> {
    counted(house, Library::with_comparison(house)?, "warm_allow")
}

/// A program through which every allocation of the library goes.
fn counted(house: &House, library: Library, name: &str) -> Result<String, String> {
    let bench = Bench::new(house, library)?;
    let wraps = ["malloc", "calloc", "realloc", "posix_memalign"];
    let wraps = wraps.map(|name| format!("-Wl,--wrap={name}"));
    let mut flags = vec!["-O2"];
    flags.extend(wraps.iter().map(String::as_str));
    bench.compile("gcc", "gnu99", name, &[&format!("{name}.c")], &flags)
}

/// A library, and a place where programs are compiled against it.
pub(crate) struct Bench<'a> {
    house: &'a House,
    library: Library,
    place: PathBuf,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(house: &'a House, library: Library) -> Result<Self, String> {
        let place = library.place.join("programs");
        fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
        Ok(Self {
            house,
            library,
            place,
        })
    }

    /// Compiles sources, which stand with the tests unless their path is whole.
    pub(crate) fn compile(
        &self,
        compiler: &str,
        standard: &str,
        name: &str,
        sources: &[&str],
        flags: &[&str],
    ) -> Result<String, String> {
        let program = self.place.join(format!("{name}-{compiler}"));
        let mut command = self.house.command(compiler);
        command.arg(format!("-std={standard}")).args(WARNINGS);
        command.arg("-g").args(flags).arg("-I").arg("include");
        command.arg("-I").arg(SOURCES);
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
        let path = self.place.join(name);
        fs::write(&path, code).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path.display().to_string())
    }
}

/// The names of the symbols that a library defines for others.
fn symbols(house: &House, library: &Path, flags: &[&str]) -> Result<Vec<String>, String> {
    let listed = output(
        house
            .command("nm")
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
