//! A rotation policy as a serde value.
//!
//! Reading is strict, as it is for records. What belongs to a single rotation is not written: a
//! lifetime that was asked for, and what limits it.

use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::lifecycle::rotation_policy::RotationPolicy;
use crate::record::serde_object::object;
use crate::time::Millis;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyForm {
    max_age_ms: Millis,
    overlap_ms: Millis,
    end_on_first_use: bool,
    notice_leads_ms: Vec<Millis>,
    retention_ms: Millis,
}

impl Serialize for RotationPolicy {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let form = PolicyForm {
            max_age_ms: self.max_age(),
            overlap_ms: self.overlap(),
            end_on_first_use: self.ends_on_first_use(),
            notice_leads_ms: self.notice_leads().to_vec(),
            retention_ms: self.retention(),
        };
        form.serialize(to)
    }
}

impl<'de> Deserialize<'de> for RotationPolicy {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let form: PolicyForm = object(from)?;
        Self::default()
            .with_max_age(form.max_age_ms)
            .and_then(|policy| policy.with_overlap(form.overlap_ms))
            .map(|policy| {
                policy
                    .with_end_on_first_use(form.end_on_first_use)
                    .with_notice_leads(form.notice_leads_ms)
                    .with_retention(form.retention_ms)
            })
            .map_err(D::Error::custom)
    }
}
