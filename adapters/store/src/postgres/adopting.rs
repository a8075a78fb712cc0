//! Adopting an application's table on a server.

use keystile::UnixMillis;

use super::{PostgresStore, adopt, adoption};
use crate::adoption::{AdoptOptions, AdoptionPlan, AdoptionProgress};
use crate::error::StoreError;

impl PostgresStore {
    /// What [`adopt`](Self::adopt) would do with these options, and what it would refuse. Reads
    /// each row, and changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the server cannot be used, or if the tables are newer than
    /// this program.
    pub async fn plan_adoption(
        &self,
        options: AdoptOptions,
        now: UnixMillis,
    ) -> Result<AdoptionPlan, StoreError> {
        let client = self.shared.connections.take().await?;
        Ok(adoption::plan(&client, options, now).await?)
    }

    /// Carries out a plan: adopts an application's table `api_keys`, and returns the number of
    /// rows. If there is no such table, the tables are created or updated, as by
    /// [`migrate`](Self::migrate).
    ///
    /// The application may go on working. A lock that its readers or writers wait for is waited
    /// for at most a second at a time, and held for a moment; each transaction adopts at most
    /// 2,000 rows; indexes and constraints are made while others write. Rows that the application
    /// inserts meanwhile are adopted by a trigger, and are not in the plan.
    ///
    /// If this ends before it is finished, also because the future is dropped, a second call
    /// continues; until then no program can use the table as a store. It uses a connection of
    /// its own, which must be a session of its own: not one of a pooler that shares sessions
    /// between transactions.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the plan has [refusals](AdoptionPlan::refusals), if others
    /// have changed a row so that it has a finding which the plan does not accept (rows that were
    /// adopted before it stay so), if the tables are not those of the plan, if
    /// other transactions keep locks for minutes, or if a statement fails.
    pub async fn adopt(
        &self,
        plan: &AdoptionPlan,
        report: impl FnMut(AdoptionProgress) + Send,
    ) -> Result<u64, StoreError> {
        let client = self.shared.connections.take().await?;
        Ok(adopt::run(client, plan, report).await?)
    }
}
