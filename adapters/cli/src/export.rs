//! `keystile export`: the keys of a store as lines of JSON.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use keystile::UnixMillis;
use keystile_store::{ExportEnd, Filter, Page, PortableLine, Store};

use crate::config::{Config, Opened};
use crate::damage::Damage;
use crate::failure::{Exit, Failure};
use crate::filters::FilterArguments;
use crate::io::Io;
use crate::progress::Progress;
use crate::values;

/// Print all that the store holds of its keys, one per line, for keystile import.
///
/// Without --with-digests the lines are to look at, and import refuses them. With it, they
/// have what a store recognises keys by: keep the file as you keep a backup. They never have
/// keys. Without filters, removed keys are exported too, so that none of them comes back.
///
/// Keys that are changed during the export may be in it as they were before, and a note says
/// so. To move a store, stop what writes to it first.
///
/// A damaged row is named on standard error and left out; the exit code is then 1.
///
/// Example:
///   keystile export --with-digests --output keys.jsonl
///   keystile export --with-digests | keystile import - --store postgres://localhost/keys
///   keystile export --owner acme | jq .key.permissions
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    filters: FilterArguments,
    /// Also print the digests of keys, so that the lines can be imported.
    #[arg(long)]
    with_digests: bool,
    /// Write to a new file that only its owner can read (mode 0600).
    #[arg(long, value_name = "FILE", value_parser = values::file)]
    output: Option<PathBuf>,
}

/// How many keys are held in memory at once.
const PAGE: usize = 500;

/// Carries out `keystile export`.
pub(crate) async fn run(
    arguments: &ExportArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let filter = arguments.filters.filter(UnixMillis::now()?);
    let opened = config.open().await?;
    let Some(path) = &arguments.output else {
        return lines(&opened, &filter, arguments.with_digests, &mut None, io).await;
    };
    let mut file = Some(BufWriter::new(create(path)?));
    let done = lines(&opened, &filter, arguments.with_digests, &mut file, io).await;
    let written = match file.as_mut() {
        Some(file) => file.flush().and_then(|()| file.get_ref().sync_all()),
        None => Ok(()),
    };
    let done = done.and_then(|exit| written.map(|()| exit).map_err(|_| NOT_WRITTEN));
    if done.is_err() {
        // A part of an export would look like a whole one.
        let _ = std::fs::remove_file(path);
    }
    done
}

const NOT_WRITTEN: Failure = Failure::expected("--output: cannot write to the file");

fn create(path: &Path) -> Result<File, Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| {
        Failure::expected(match error.kind() {
            std::io::ErrorKind::AlreadyExists => "--output: the file exists already; name another",
            _ => "--output: cannot create the file",
        })
    })
}

async fn lines(
    opened: &Opened,
    filter: &Filter,
    with_digests: bool,
    file: &mut Option<BufWriter<File>>,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let store = &opened.store;
    let before = store.last_event().await?;
    let mut progress = Progress::new("exported", io);
    let mut damage = Damage::default();
    let mut page = Some(Page::first(PAGE));
    let mut keys = 0_u64;
    while let Some(current) = page {
        let exported = store.export(filter, current).await?;
        damage.add(exported.damaged);
        for key in exported.keys {
            let text = match with_digests {
                true => PortableLine::Key(Box::new(key)).to_text(),
                false => key.to_public_text(),
            };
            write(&text, file, io)?;
            keys = keys.saturating_add(1);
        }
        progress.show(keys, io);
        page = exported.next.map(|next| current.after(next));
    }
    let mut removed = 0_u64;
    if with_digests && *filter == Filter::default() {
        let mut after: Option<Box<str>> = None;
        loop {
            let page = store.removed_keys(after.as_deref(), PAGE).await?;
            damage.add(page.damaged);
            for key in page.keys {
                write(&PortableLine::Removed(key).to_text(), file, io)?;
                removed = removed.saturating_add(1);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    if with_digests {
        // Without it, an import says that a part is missing.
        write(&ExportEnd::new(keys, removed).to_text(), file, io)?;
    }
    let changed = store.last_event().await? != before;
    io.note(&format!("exported {keys} keys and {removed} removed keys"));
    if changed {
        io.note(
            "keystile: keys were changed during the export, and may be in it as they were \
             before; to move a store, stop what writes to it and export again",
        );
    }
    Ok(damage.name(io))
}

fn write(text: &str, file: &mut Option<BufWriter<File>>, io: &mut Io<'_>) -> Result<(), Failure> {
    match file {
        Some(file) => writeln!(file, "{text}").map_err(|_| NOT_WRITTEN),
        None => io.line(text),
    }
}
