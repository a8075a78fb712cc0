//! The name that was probably meant.

/// How many letters may differ.
const DISTANCE_MAX: usize = 2;

/// The known name that is closest to a text, if one is close.
pub(crate) fn nearest<'n>(text: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    known
        .map(|name| (distance(text, name), name))
        .filter(|(distance, name)| *distance <= DISTANCE_MAX && *distance < name.len())
        .min()
        .map(|(_, name)| name)
}

/// How many letters have to be inserted, removed or replaced.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (number, left) in (1_usize..).zip(one.bytes()) {
        let mut diagonal = number.saturating_sub(1);
        let mut before = number;
        if let Some(first) = row.first_mut() {
            *first = number;
        }
        for (cell, right) in row.iter_mut().skip(1).zip(other.bytes()) {
            let replaced = diagonal.saturating_add(usize::from(left != right));
            diagonal = *cell;
            let moved = before.min(*cell).saturating_add(1);
            *cell = replaced.min(moved);
            before = *cell;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_name_is_found_and_a_distant_one_is_not() {
        let known = ["monitoring", "integration", "admin", "pro"];
        let near = |text| nearest(text, known.into_iter());
        assert_eq!(near("monitorin"), Some("monitoring"));
        assert_eq!(near("intergration"), Some("integration"));
        assert_eq!(near("por"), Some("pro"));
        assert_eq!(near("adm"), Some("admin"));
        assert_eq!(near("root"), None);
        assert_eq!(near("a"), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
