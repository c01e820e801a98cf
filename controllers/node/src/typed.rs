//! Takes typed values out of entries where no table is kept.

use skep_api::object::Typed;
use skep_runtime::table::{Entry, Versioned};

/// The value of `entry` if it is there, decodes, and is of this type.
pub(crate) fn typed<T: Typed>(entry: Option<&Entry>) -> Option<Versioned<T>> {
    let entry = entry?;
    let object = entry.value.as_ref().ok()?;
    Some(Versioned { value: T::from_object(object)?, stamp: entry.stamp })
}
