//! Programs outside the tree that vendor the Go module: from a checkout, and from a release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::dist::{Archive, PATH, REDIS_FOLDER, dist, write};
use super::{MODULE, REDIS, copy, platform};
use crate::capi;
use crate::workspace::{TaskResult, Workspace, output, run};

/// Checks that `go mod vendor` and a build work with a checkout, whose user has `replace`d the
/// module.
pub(super) fn checkout(workspace: &Workspace) -> TaskResult {
    let program = consumer(workspace, "go/vendored-checkout")?;
    let module = workspace.path(MODULE);
    let text = format!(
        "require {PATH} v0.0.0\n\nreplace {PATH} => {}\n",
        module.display()
    );
    go_mod(&program, &text)?;
    let go = |line: &str| {
        let mut go = workspace.command("go");
        go.current_dir(&program).args(line.split_whitespace());
        go
    };
    run(&mut go("mod tidy"))?;
    run(&mut go("mod vendor"))?;
    run(&mut go("run -mod=vendor ."))
}

/// Checks that a program gets a release from a proxy, builds with one archive, and vendors it.
pub(super) fn release(workspace: &Workspace) -> TaskResult {
    let proxy = Proxy::with_a_release(workspace)?;
    let program = consumer(workspace, "go/vendored-release")?;
    go_mod(&program, "")?;
    run(&mut proxy.go(&program, &format!("get {PATH}@{}", proxy.version)))?;
    // What `go get` has unpacked is removed: a build from the same go.mod and go.sum unpacks what
    // it needs.
    empty(&proxy.cache)?;
    run(&mut proxy.go(&program, "run -mod=readonly ."))?;
    let other = proxy.other.as_str();
    for (name, is_needed) in [(platform().as_str(), true), (other, false)] {
        let unpacked = proxy
            .cache
            .join(PATH)
            .join(format!("lib/{name}@{}", proxy.version));
        if unpacked.exists() != is_needed {
            let found = if is_needed { "is not" } else { "is" };
            return Err(format!("{} {found} unpacked", unpacked.display()));
        }
    }
    run(&mut proxy.go(&program, "mod vendor"))?;
    empty(&proxy.cache)?;
    run(&mut proxy.go(&program, "run -mod=vendor ."))?;
    with_redis(workspace, &proxy)
}

/// The same for a program that uses the module for Redis.
fn with_redis(workspace: &Workspace, proxy: &Proxy<'_>) -> TaskResult {
    let program = workspace.target_path("go/vendored-redis");
    empty(&program)?;
    let own = workspace.path(REDIS);
    copy(
        &own.join("testdata/consumer/main.go"),
        &program.join("main.go"),
    )?;
    copy(&own.join("go.sum"), &program.join("go.sum"))?;
    go_mod(&program, "")?;
    let get = format!("get {PATH}/{REDIS_FOLDER}@{}", proxy.version);
    run(&mut proxy.go(&program, &get))?;
    run(&mut proxy.go(&program, "mod vendor"))?;
    run(&mut proxy.go(&program, "run -mod=vendor ."))
}

/// A proxy of files that has a release, and a cache of modules apart from the user's.
struct Proxy<'a> {
    workspace: &'a Workspace,
    folder: PathBuf,
    cache: PathBuf,
    version: String,
    /// A platform that has an archive in the release, and is not this one.
    other: String,
}

impl<'a> Proxy<'a> {
    fn with_a_release(workspace: &'a Workspace) -> Result<Self, String> {
        let other = match platform().as_str() {
            "linux_arm64" => "linux_amd64",
            _ => "linux_arm64",
        };
        let proxy = Self {
            workspace,
            folder: workspace.target_path("go/proxy"),
            cache: workspace.target_path("go/modules"),
            version: format!("v{}", capi::version(workspace)?),
            other: other.to_owned(),
        };
        let to = workspace.target_path("go/dist");
        // Of another platform only the place matters.
        let archive = Archive {
            platform: proxy.other.clone(),
            path: workspace.path("LICENSE-MIT"),
        };
        dist(workspace, &to, &[archive])?;
        empty(&proxy.folder)?;
        // Of an earlier run, whose version had another content.
        empty(&proxy.cache)?;
        let module = to.join(MODULE);
        proxy.add(&module, PATH)?;
        proxy.add(
            &module.join(REDIS_FOLDER),
            &format!("{PATH}/{REDIS_FOLDER}"),
        )?;
        for name in [platform(), proxy.other.clone()] {
            proxy.add(
                &module.join("lib").join(&name),
                &format!("{PATH}/lib/{name}"),
            )?;
        }
        Ok(proxy)
    }

    /// Adds a module to the proxy.
    fn add(&self, module: &Path, path: &str) -> TaskResult {
        let mut go = self.workspace.command("go");
        go.current_dir(self.workspace.path(MODULE))
            .args(["run", "./testdata/proxy"])
            .arg(module)
            .args([path, &self.version])
            .arg(&self.folder);
        run(&mut go)
    }

    /// The command `go`, which gets keystile from the proxy, and what it depends on from the
    /// user's cache or from where the user gets modules.
    fn go(&self, program: &Path, line: &str) -> Command {
        let asked = |name: &str| {
            let mut go = self.workspace.command("go");
            output(go.args(["env", name])).unwrap_or_default()
        };
        let own = format!("file://{}", self.folder.display());
        let cached = format!("file://{}/cache/download", asked("GOMODCACHE").trim());
        let proxies = format!("{own},{cached},{}", asked("GOPROXY").trim());
        let mut go = self.workspace.command("go");
        go.current_dir(program)
            .args(line.split_whitespace())
            .env("GOPROXY", proxies)
            .env("GOMODCACHE", &self.cache)
            .env("GONOSUMDB", PATH)
            .env("GOFLAGS", "-modcacherw -buildvcs=false")
            // Go remembers which packages a version of a module has, and here that changes.
            .env("GODEBUG", "goindex=0");
        go
    }
}

/// A program outside the tree that imports the module.
fn consumer(workspace: &Workspace, name: &str) -> Result<PathBuf, String> {
    let program = workspace.target_path(name);
    empty(&program)?;
    let source = workspace.path(MODULE).join("testdata/consumer/main.go");
    copy(&source, &program.join("main.go"))?;
    // Sums of what the module depends on, so that nothing asks the network for them.
    let sums = workspace.path(MODULE).join("go.sum");
    copy(&sums, &program.join("go.sum"))?;
    Ok(program)
}

fn go_mod(program: &Path, requires: &str) -> TaskResult {
    let text = format!("module example.com/consumer\n\ngo 1.24.0\n\n{requires}");
    write(&program.join("go.mod"), &text)
}

fn empty(folder: &Path) -> TaskResult {
    match fs::remove_dir_all(folder) {
        Err(error) if folder.exists() => Err(format!("{}: {error}", folder.display())),
        _ => Ok(()),
    }
}
