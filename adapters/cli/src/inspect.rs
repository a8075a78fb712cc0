//! `keystile inspect`: whether a text is a key.

use clap::Args;
use keystile::{Environment, Finding, Inspection, KeyFormat, KeyId, Prefix};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::issue::DEFAULT_PREFIX;
use crate::key_input::KeyInput;
use crate::values;

/// Check whether a text is a well-formed key, and if not, what is wrong with it.
///
/// Works offline: it cannot know whether a key was ever issued. Texts are read from standard
/// input, one per line, or from KEYSTILE_KEY; never from an argument.
///
/// With --json, each answer is an object with finding (well_formed, wrong_checksum,
/// wrapped, wrong_length, wrong_character, foreign or empty), key_id, environment, hint.
///
/// Exits with 0 if every text is a well-formed key, 1 if one is not, 2 on an error.
///
/// Example:
///   echo "$KEY" | keystile inspect
///   echo "$KEY" | keystile inspect --prefix acme
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct InspectArguments {
    /// The prefix of your keys. Keys with any other prefix are then foreign. If it is not
    /// given, whole keys of any prefix are recognized, and parts of keys that start with ks.
    #[arg(long, value_name = "P", value_parser = values::prefix)]
    prefix: Option<Prefix>,
}

#[derive(Serialize)]
struct InspectionView<'i> {
    finding: String,
    key_id: Option<&'i str>,
    environment: Option<&'i str>,
    hint: &'static str,
}

/// Carries out `keystile inspect`.
pub(crate) fn run(
    arguments: &InspectArguments,
    json: bool,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let formats = formats(arguments.prefix.as_ref())?;
    let mut texts = KeyInput::new(io);
    let mut exit = Exit::Done;
    while let Some(text) = texts.next(io.input)? {
        let found = inspect(&formats, text);
        if found.finding != Finding::WellFormed {
            exit = Exit::Denied;
        }
        print(&found, json, io)?;
    }
    Ok(exit)
}

/// The formats that a text may have, the most likely first.
fn formats(prefix: Option<&Prefix>) -> Result<Vec<KeyFormat>, Failure> {
    let name = prefix.map_or(DEFAULT_PREFIX, Prefix::as_str);
    let mut formats = vec![KeyFormat::structured(name)?, KeyFormat::opaque(name)?];
    if prefix.is_none() {
        formats.extend([KeyFormat::any_structured(), KeyFormat::any_opaque()]);
    }
    Ok(formats)
}

/// Whether the text is a whole key, of any prefix and format, with something around it.
pub(crate) fn is_wrapped(text: &[u8]) -> bool {
    let formats = [KeyFormat::any_structured(), KeyFormat::any_opaque()];
    inspect(&formats, text).finding == Finding::Wrapped
}

/// The most informative finding.
fn inspect(formats: &[KeyFormat], text: &[u8]) -> Inspection {
    let telling = |finding| match finding {
        Finding::WellFormed => 0,
        Finding::Wrapped => 1,
        Finding::WrongChecksum => 2,
        Finding::Foreign => 4,
        _ => 3,
    };
    let found = formats.iter().map(|format| keystile::inspect(format, text));
    found
        .min_by_key(|found| telling(found.finding))
        .unwrap_or_else(|| keystile::inspect(&KeyFormat::any_structured(), text))
}

fn print(found: &Inspection, json: bool, io: &mut Io<'_>) -> Result<(), Failure> {
    let key_id = found.key_id.as_ref().map(KeyId::as_str);
    let environment = found.environment.as_ref().map(Environment::as_str);
    let (finding, hint) = (found.finding.to_string(), found.finding.hint());
    if json {
        let finding = finding.replace(' ', "_");
        return io.json(&InspectionView {
            finding,
            key_id,
            environment,
            hint,
        });
    }
    let mut line = format!("{finding}: {hint}");
    for part in [key_id, environment].into_iter().flatten() {
        line.push_str("  ");
        line.push_str(part);
    }
    io.line(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_makes_all_others_foreign() {
        let digits = "0f".repeat(32);
        let text = format!("acme_{digits}");
        let finding = |prefix: Option<&str>| {
            let prefix = prefix.map(|name| Prefix::new(name).unwrap());
            inspect(&formats(prefix.as_ref()).unwrap(), text.as_bytes()).finding
        };
        assert_eq!(finding(None), Finding::WellFormed);
        assert_eq!(finding(Some("acme")), Finding::WellFormed);
        assert_eq!(finding(Some("other")), Finding::Foreign);
    }
}
