//! Who runs a command, for the audit log.

use std::fs::read_to_string;

use keystile::By;

/// The environment variable that `--actor` can be set by.
pub(crate) const VARIABLE: &str = "KEYSTILE_ACTOR";

/// The value of `--actor`.
pub(crate) fn parse(text: &str) -> Result<By, &'static str> {
    By::new(text).map_err(
        |_| "must be 1 to 255 bytes without control or invisible characters, and must not contain a whole key",
    )
}

/// `user@host`, as the environment and the operating system name them. No one has verified
/// either.
pub(crate) fn of_this_process() -> By {
    let variable = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = ["USER", "LOGNAME", "USERNAME"].iter().find_map(variable);
    let user = user.unwrap_or_else(|| "unknown".to_owned());
    let who = match host() {
        Some(host) => format!("{user}@{host}"),
        None => user,
    };
    By::new(&who).unwrap_or_default()
}

fn host() -> Option<String> {
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let file = files.iter().find_map(|path| read_to_string(path).ok());
    let variable = || {
        ["HOSTNAME", "COMPUTERNAME"]
            .iter()
            .find_map(|name| std::env::var(name).ok())
    };
    let name = file.or_else(variable)?.trim().to_owned();
    (!name.is_empty()).then_some(name)
}

/// The same actor, with the reason that a command got.
pub(crate) fn because(by: &By, reason: Option<&str>) -> Result<By, keystile::Error> {
    match reason {
        Some(reason) => by.clone().because(reason),
        None => Ok(by.clone()),
    }
}
