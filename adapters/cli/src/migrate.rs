//! `keystile migrate`: creates, updates or adopts the tables.

mod report;

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use keystile::UnixMillis;
use keystile_store::{
    AdoptOptions, AdoptionPlan, AdoptionProgress, MetadataEndpoints, SqliteStore, StoreError,
    Tables,
};

use self::report::Report;
use crate::config::{Config, reserve};
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::store_url::StoreUrl;

/// Create the store's tables, update them, or adopt an application's table api_keys.
///
/// Which of them is needed is found out. Adopting adds columns, indexes and triggers to the
/// table, and tables beside it; its keys stay valid. The application may go on working
/// meanwhile. Back the database up first: there is no way back. If the command is interrupted,
/// run it again.
///
/// --dry-run changes nothing. It prints what would be done, and what was found in the rows:
/// those that cannot be read, and those that would mean something else than before. They are
/// adopted only if an option accepts them; otherwise nothing is changed, and the exit code is 1.
///
/// With --json, standard output is one object.
///
/// Example:
///   keystile migrate --dry-run
///   keystile migrate --map-metadata --accept-wildcards
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct MigrateArguments {
    /// Print what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Adopt active keys with a * in their permissions, which is a wildcard from then on.
    #[arg(long)]
    accept_wildcards: bool,
    /// Adopt rows that cannot be read; their keys are refused.
    #[arg(long)]
    accept_unreadable: bool,
    /// Adopt an expires_at of infinity as: never.
    #[arg(long)]
    infinity_is_never: bool,
    /// Enforce the endpoint rules that keys have in their metadata, as allowedEndpoints.
    #[arg(long)]
    map_metadata: bool,
    /// Do not enforce them, as before.
    #[arg(long, conflicts_with = "map_metadata")]
    ignore_metadata: bool,
}

impl MigrateArguments {
    fn options(&self) -> AdoptOptions {
        let mut options = AdoptOptions::default();
        options.accept_wildcards = self.accept_wildcards;
        options.accept_unreadable = self.accept_unreadable;
        options.infinity_is_never = self.infinity_is_never;
        options.metadata_endpoints = match (self.map_metadata, self.ignore_metadata) {
            (true, _) => MetadataEndpoints::Enforce,
            (false, true) => MetadataEndpoints::Ignore,
            (false, false) => MetadataEndpoints::Refuse,
        };
        options
    }
}

/// A store that has tables.
enum Target {
    Sqlite(SqliteStore),
    #[cfg(feature = "postgres")]
    Postgres(keystile_store::PostgresStore),
}

impl Target {
    async fn plan(&self, options: AdoptOptions, now: UnixMillis) -> Result<AdoptionPlan, Failure> {
        Ok(match self {
            Self::Sqlite(store) => store.plan_adoption(options, now).await?,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store.plan_adoption(options, now).await?,
        })
    }

    async fn adopt(
        &self,
        plan: &AdoptionPlan,
        report: impl FnMut(AdoptionProgress) + Send,
    ) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(store) => store.adopt(plan, report).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store.adopt(plan, report).await,
        }
    }
}

const REPORT_EVERY: Duration = Duration::from_secs(2);

/// Carries out `keystile migrate`.
pub(crate) async fn run(
    arguments: &MigrateArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let target = match &config.store {
        StoreUrl::Memory => {
            return Err(Failure::expected(
                "a store in memory has no tables to migrate",
            ));
        }
        StoreUrl::Sqlite(path) => {
            if arguments.dry_run && matches!(path.try_exists(), Ok(false)) {
                return Report::of_new_file().print(config.json, io);
            }
            if !arguments.dry_run {
                reserve(path)?;
            }
            Target::Sqlite(SqliteStore::open(path)?)
        }
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => Target::Postgres(url.open()?),
    };
    let plan = target.plan(arguments.options(), UnixMillis::now()?).await?;
    let adopted = if arguments.dry_run || !plan.refusals().is_empty() {
        None
    } else {
        Some(adopt(&target, &plan, io).await?)
    };
    Report::of(&plan, arguments.dry_run, adopted).print(config.json, io)
}

/// Carries out the plan, and notes how far it is every two seconds.
async fn adopt(target: &Target, plan: &AdoptionPlan, io: &mut Io<'_>) -> Result<u64, Failure> {
    let latest = Arc::new(Mutex::new(None));
    let so_far = Arc::clone(&latest);
    let adoption = target.adopt(plan, move |progress| {
        *so_far.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
    });
    let mut adoption = core::pin::pin!(adoption);
    loop {
        tokio::select! {
            done = &mut adoption => return Ok(done?),
            () = tokio::time::sleep(REPORT_EVERY) => {
                let progress = *latest.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(AdoptionProgress { step, rows, total, .. }) = progress {
                    io.note(&format!("keystile: {step}; {rows} of {total} rows are adopted"));
                }
            }
        }
    }
}

/// The name of what was found, for programs.
const fn tables_name(tables: Tables) -> &'static str {
    match tables {
        Tables::Empty => "empty",
        Tables::Others => "others",
        Tables::NotAdopted => "not_adopted",
        Tables::HalfAdopted => "half_adopted",
        Tables::Old => "old",
        Tables::Current => "current",
        _ => "other",
    }
}
