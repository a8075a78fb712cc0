//! An explanation as a serde value, the same in every language.

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::decision::answer::Decision;
use crate::decision::explain::{ExplainedCheck, Explanation};

impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (decision, code) = match &self.decision {
            Decision::Allow(_) => ("allow", None),
            Decision::Deny(denial) => ("deny", Some(denial.code().as_str())),
        };
        let refused_by = self.refused_by().map(|check| check.step.as_str());
        let mut form = serializer.serialize_struct("Explanation", 4)?;
        form.serialize_field("decision", decision)?;
        form.serialize_field("code", &code)?;
        form.serialize_field("refused_by", &refused_by)?;
        form.serialize_field("checks", &self.checks)?;
        form.end()
    }
}

impl Serialize for ExplainedCheck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut form = serializer.serialize_struct("ExplainedCheck", 4)?;
        form.serialize_field("check", self.step.as_str())?;
        form.serialize_field("passes", &self.refusal.is_none())?;
        form.serialize_field("code", &self.refusal.map(|code| code.as_str()))?;
        form.serialize_field("compared", &self.compared)?;
        form.end()
    }
}
