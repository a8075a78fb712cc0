//! Parts of a record as words, for people.

/// Items with a separator between them, or `none` if there are no items.
pub(crate) fn joined<T: ToString>(items: impl Iterator<Item = T>, none: &str) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    if items.is_empty() {
        none.to_owned()
    } else {
        items.join(", ")
    }
}
