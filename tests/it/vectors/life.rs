//! Timelines of a lineage, rotation policies and plans.

use std::collections::BTreeMap;

use keystile::{
    Decision, Error, KeyFormat, KeyId, KeyRecord, Millis, PepperRing, PlanAction, PlanItem,
    RateState, Request, RotationPolicy, Status, SysRng, UnixMillis, Usage, Verifier, end_overlap,
    expire, plan, resume, revoke, rotate, suspend, verify,
};
use serde::Deserialize;
use serde_json::Value;

use crate::vectors::case::replay;
use crate::vectors::form::{Format, snake};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    format: Format,
    policy: RotationPolicy,
    key: String,
    record: KeyRecord,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    at: UnixMillis,
    #[serde(rename = "do")]
    verb: String,
    key: Option<String>,
    #[serde(rename = "as")]
    successor: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Expected {
    outcomes: Vec<Outcome>,
    records: BTreeMap<String, Kept>,
}

#[derive(Deserialize, PartialEq, Debug, Default)]
#[serde(deny_unknown_fields)]
struct Outcome {
    outcome: String,
    keys: Option<Vec<String>>,
    code: Option<String>,
    remaining_uses: Option<u64>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Kept {
    status: String,
    replaced_by: Option<String>,
    ends_at_first_use: Option<String>,
    expires_at: Option<UnixMillis>,
    overlap_until: Option<UnixMillis>,
    version: u64,
}

/// A key of the lineage under its label, with the text that its owner received.
struct Key {
    label: String,
    text: String,
    record: KeyRecord,
}

/// A store of one lineage.
struct Lineage {
    format: KeyFormat,
    policy: RotationPolicy,
    verifier: Verifier,
    keys: Vec<Key>,
    usage: Usage,
}

#[test]
fn p10_rotations() {
    replay("rotations.json", |name, input: Input| {
        let format = input.format.made();
        let mut lineage = Lineage {
            verifier: Verifier::new(format.clone()),
            format,
            policy: input.policy,
            usage: Usage::new(RateState::default(), input.record.remaining_uses),
            keys: vec![Key {
                label: "A".to_owned(),
                text: input.key,
                record: input.record,
            }],
        };
        let outcomes = input.steps.iter().map(|step| {
            let outcome = lineage.act(step);
            for key in &lineage.keys {
                key.record.check().unwrap();
            }
            assert!(lineage.live(step.at).len() <= 2, "{name}: more than two");
            outcome
        });
        let outcomes = outcomes.collect();
        Expected {
            outcomes,
            records: lineage.kept(),
        }
    });
}

impl Lineage {
    fn key(&self, id: KeyId) -> &Key {
        self.keys.iter().find(|key| key.record.id == id).unwrap()
    }

    fn named(&self, label: Option<&String>) -> &Key {
        let label = label.unwrap();
        self.keys.iter().find(|key| key.label == *label).unwrap()
    }

    fn live(&self, now: UnixMillis) -> Vec<String> {
        let live = self.keys.iter().filter(|key| key.record.is_live(now));
        live.map(|key| key.label.clone()).collect()
    }

    /// Replaces a record with a newer version.
    fn write(&mut self, record: KeyRecord) {
        let place = self.keys.iter_mut().find(|key| key.record.id == record.id);
        let place = &mut place.unwrap().record;
        assert_eq!(record.version, place.version + 1);
        *place = record;
    }

    fn act(&mut self, step: &Step) -> Outcome {
        let now = step.at;
        match step.verb.as_str() {
            "live" => Outcome {
                outcome: "live".to_owned(),
                keys: Some(self.live(now)),
                ..Outcome::default()
            },
            "use" => self.act_use(step),
            "rotate" => done(self.act_rotate(step)),
            "expire" => done(expire(&self.named(step.key.as_ref()).record, now).map(drop)),
            verb => {
                let record = &self.named(step.key.as_ref()).record;
                let change = match verb {
                    "revoke" => revoke(record, step.reason.as_deref().unwrap(), now),
                    "suspend" => suspend(record, now),
                    "resume" => resume(record, now),
                    other => panic!("no such verb: {other}"),
                };
                done(change.map(|change| self.write(change.record)))
            }
        }
    }

    fn act_rotate(&mut self, step: &Step) -> Result<(), Error> {
        let own = self.named(step.key.as_ref()).record.clone();
        let siblings: Vec<KeyRecord> = self
            .keys
            .iter()
            .map(|key| key.record.clone())
            .filter(|record| record.id != own.id)
            .collect();
        let (none, now) = (PepperRing::none(), step.at);
        let rotated = rotate(
            &own,
            &siblings,
            &self.policy,
            &self.format,
            &none,
            &mut SysRng,
            now,
        )?;
        rotated
            .changed
            .into_iter()
            .for_each(|record| self.write(record));
        self.keys.push(Key {
            label: step.successor.clone().unwrap(),
            text: rotated.key.expose().to_owned(),
            record: rotated.successor,
        });
        Ok(())
    }

    fn act_use(&mut self, step: &Step) -> Outcome {
        let (text, record) = {
            let key = self.named(step.key.as_ref());
            (key.text.clone(), key.record.clone())
        };
        let presented = self.verifier.parse(text.as_bytes()).unwrap();
        let decision = verify(
            &self.verifier,
            &presented,
            Some(&record),
            &Request::new(),
            &mut self.usage,
            step.at,
        );
        let (outcome, code) = match decision {
            Decision::Deny(denial) => ("deny", Some(denial.code().as_str().to_owned())),
            Decision::Allow(allowed) => {
                if let Some(old) = allowed.ends_overlap_of {
                    let old = &self.key(old).record;
                    for changed in end_overlap(old, &record, step.at).into_iter().flatten() {
                        self.write(changed);
                    }
                }
                ("allow", None)
            }
        };
        Outcome {
            outcome: outcome.to_owned(),
            code,
            remaining_uses: self.usage.remaining,
            ..Outcome::default()
        }
    }

    fn kept(&self) -> BTreeMap<String, Kept> {
        let label = |id: KeyId| self.key(id).label.clone();
        let kept = |record: &KeyRecord| Kept {
            status: match record.status {
                Status::Revoked { .. } => "revoked".to_owned(),
                ref other => snake(other),
            },
            replaced_by: record.replaced_by.map(label),
            ends_at_first_use: record.ends_at_first_use.map(label),
            expires_at: record.expires_at,
            overlap_until: record.overlap_until,
            version: record.version,
        };
        self.keys
            .iter()
            .map(|key| (key.label.clone(), kept(&key.record)))
            .collect()
    }
}

fn done(result: Result<(), Error>) -> Outcome {
    Outcome {
        outcome: if result.is_ok() { "done" } else { "refused" }.to_owned(),
        code: result.err().map(|error| snake(error.kind())),
        ..Outcome::default()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyInput {
    policy: Value,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Legal {
    legal: bool,
}

#[test]
fn policies() {
    replay("policies.json", |name, input: PolicyInput| {
        let policy = serde_json::from_value::<RotationPolicy>(input.policy.clone()).ok();
        if let Some(policy) = &policy {
            assert_eq!(
                serde_json::to_value(policy).unwrap(),
                input.policy,
                "{name}"
            );
        }
        Legal {
            legal: policy.is_some(),
        }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanInput {
    policy: RotationPolicy,
    records: Vec<KeyRecord>,
    now: UnixMillis,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Planned {
    due: Vec<DueForm>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct DueForm {
    key_id: String,
    action: String,
    at: UnixMillis,
    lead_ms: Option<u64>,
}

#[test]
fn plans() {
    replay("plans.json", |_, input: PlanInput| Planned {
        due: plan(&input.records, &input.policy, input.now)
            .iter()
            .map(DueForm::of)
            .collect(),
    });
}

impl DueForm {
    fn of(due: &PlanItem) -> Self {
        let (action, at, lead) = match due.action {
            PlanAction::Notice { ends_at, lead } => ("notice", ends_at, Some(lead)),
            PlanAction::Rotate { ends_at } => ("rotate", ends_at, None),
            PlanAction::CleanUp { ended_at } => ("clean_up", ended_at, None),
            other => panic!("an action of another kind: {other:?}"),
        };
        Self {
            key_id: due.key_id.to_string(),
            action: action.to_owned(),
            at,
            lead_ms: lead.map(Millis::get),
        }
    }
}
