//! What a fault makes of a batch before it is written.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test's fixture"
)]

use keystile::{Event, EventKind, KeyId, Status, UnixMillis};
use keystile_store::{Batch, Store, StoreError, TemplateProblem, TemplateVersion};

use crate::fault::Fault;
use crate::faulty::Faulty;

impl Faulty {
    /// The batch that is written instead of this one; `None` if nothing is.
    pub(crate) async fn altered(&self, batch: &Batch) -> Result<Option<Batch>, StoreError> {
        let mut batch = batch.clone();
        match self.fault {
            Fault::KeepsRemovedKeys if !batch.events.is_empty() => batch.deletes.clear(),
            Fault::AnswersTwice => {
                if let Some(note) = batch.issue_request.take()
                    && self.sound.issue_answer(&note.request).await?.is_none()
                {
                    batch.issue_request = Some(note);
                }
            }
            Fault::DropsImportedRates => batch.imported.rates.clear(),
            Fault::DropsRemovedKeys => batch.imported.removed.clear(),
            Fault::ForgetsEvents => {
                // Only those without which the batch is accepted.
                let written = batch.inserts.iter().chain(&batch.updates);
                let mut needed: Vec<_> = written.map(|record| record.id).collect();
                needed.extend(batch.upkeep.iter().map(|upkeep| upkeep.key_id));
                batch.events.retain(|event| {
                    event.version.is_some()
                        && [event.key_id, event.successor]
                            .iter()
                            .flatten()
                            .any(|id| needed.contains(id))
                });
            }
            Fault::TakesSilentChanges => {
                let records = batch.inserts.iter().chain(&batch.updates);
                let records = records.map(|record| (record.id, record.version));
                let upkeep = batch
                    .upkeep
                    .iter()
                    .map(|field| (field.key_id, field.version));
                let noted: Vec<_> = records
                    .chain(upkeep)
                    .map(|(id, version)| {
                        Event::new(EventKind::Changed, id, UnixMillis::MIN).with_version(version)
                    })
                    .filter(|event| !batch.events.iter().any(|own| own.key_id == event.key_id))
                    .collect();
                batch.events.extend(noted);
            }
            Fault::WidensUpkeep => {
                for upkeep in core::mem::take(&mut batch.upkeep) {
                    let Some(mut record) = self.current(&upkeep.key_id).await else {
                        return Err(StoreError::Stale);
                    };
                    let stored = record.version;
                    record.owner = None;
                    upkeep.apply(&mut record);
                    if stored + 1 != record.version {
                        return Err(StoreError::Stale);
                    }
                    batch.updates.push(record);
                }
            }
            Fault::DropsUpkeep => {
                batch.check()?;
                batch.upkeep.clear();
            }
            Fault::DropsSetUses => {
                batch.check()?;
                batch.set_uses.clear();
            }
            Fault::IgnoresTheLastEvent => batch.last_event = None,
            Fault::IgnoresVersions => {
                for update in &mut batch.updates {
                    let Some(current) = self.current(&update.id).await else {
                        continue;
                    };
                    update.version = current.version + 1;
                }
            }
            Fault::Overwrites => {
                for record in core::mem::take(&mut batch.inserts) {
                    match self.current(&record.id).await {
                        Some(current) if current.digest == record.digest => {}
                        _ => batch.inserts.push(record),
                    }
                }
            }
            Fault::WritesHalves => {
                let events = core::mem::take(&mut batch.events);
                let of = |id: KeyId| {
                    let own = events.iter().filter(move |event| event.key_id == Some(id));
                    own.cloned().collect::<Vec<_>>()
                };
                let mut half = Batch::new();
                half.inserts = core::mem::take(&mut batch.inserts);
                half.events = half
                    .inserts
                    .iter()
                    .flat_map(|record| of(record.id))
                    .collect();
                self.sound.commit(&half).await?;
                half.inserts.clear();
                for update in core::mem::take(&mut batch.updates) {
                    half.events = of(update.id);
                    half.updates = vec![update];
                    self.sound.commit(&half).await?;
                }
            }
            Fault::Unrevokes => {
                for update in &batch.updates {
                    let Some(current) = self.current(&update.id).await else {
                        continue;
                    };
                    if matches!(current.status, Status::Revoked { .. })
                        && update.version == current.version + 1
                    {
                        self.wrong.lock().unwrap().insert(update.id, update.clone());
                        return Ok(None);
                    }
                }
            }
            Fault::DropsRevocations => {
                let mut updates = batch.updates.iter();
                if updates.any(|record| matches!(record.status, Status::Revoked { .. })) {
                    return Ok(None);
                }
            }
            Fault::IgnoresReliance => {
                batch.unchanged.clear();
                batch.derived.clear();
            }
            Fault::IgnoresTemplateVersions => batch.template_unchanged = None,
            Fault::ComparesTemplatesTooSoon => {
                batch.check()?;
                if let Some(relied_on) = batch.template_unchanged.take() {
                    let stored = self.sound.template(&relied_on.name).await?;
                    if stored.as_ref().and_then(TemplateVersion::of) != Some(relied_on) {
                        return Err(TemplateProblem::Stale.into());
                    }
                    for _ in 0..10 {
                        tokio::task::yield_now().await;
                    }
                }
            }
            Fault::RefusesRevokedInserts => {
                let mut inserts = batch.inserts.iter();
                if inserts.any(|record| matches!(record.status, Status::Revoked { .. })) {
                    return Err(StoreError::OutOfRange);
                }
            }
            Fault::KeepsLowVersions
                if batch.updates.iter().any(|record| record.version > 1 << 62) =>
            {
                return Err(StoreError::OutOfRange);
            }
            _ => {}
        }
        Ok(Some(batch))
    }
}
