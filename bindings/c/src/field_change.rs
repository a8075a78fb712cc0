//! The fields that a change of a key changed, as its event names them.

use core::mem::MaybeUninit;

use keystile::FieldChange;

use crate::boundary::{guard, guard_or, non_null};
use crate::change::keystile_change;
use crate::status::keystile_status::{self, *};
use crate::text::keystile_str;

/// A field of a record that was changed, with its values before and after as text. The
/// change lends all texts.
///
/// Instants are milliseconds since 1970, lists are joined by `, `, and a rate limit is
/// such as `100 in 3600000 ms, burst 100`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_field_change {
    /// The name of the field, as in the JSON text of a record.
    pub field: keystile_str,
    /// The value before. There is none if the field was not set, and never one for the
    /// e-mail address and the metadata, which can be personal data.
    pub from: keystile_str,
    /// The value after, in the same way.
    pub to: keystile_str,
}

/// Returns the number of fields that the event of a change names: those that
/// `keystile_record_change` changed. 0 for any other change, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_change_field_count(change: Option<&keystile_change>) -> usize {
    guard_or(0, || Some(change?.fields().len()))
}

/// Reads the changed field at an index, in the order of a record.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_change_field_at(
    change: Option<&keystile_change>,
    index: usize,
    out_field: Option<&mut MaybeUninit<keystile_field_change>>,
) -> keystile_status {
    guard(|| {
        let (change, out_field) = (non_null(change)?, non_null(out_field)?);
        let field = change.fields().get(index).ok_or(KEYSTILE_ERROR_INDEX)?;
        out_field.write(keystile_field_change::of(field));
        Ok(())
    })
}

impl keystile_field_change {
    fn of(change: &FieldChange) -> Self {
        Self {
            field: keystile_str::of(&change.field),
            from: keystile_str::of_optional(change.from.as_deref()),
            to: keystile_str::of_optional(change.to.as_deref()),
        }
    }
}
