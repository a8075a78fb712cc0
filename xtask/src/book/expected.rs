//! What a page shows as printed, compared with what was printed.

/// Stands for any characters of a line; on a line of its own, for any lines.
const ANY: char = '…';

/// Whether the output is what the page shows. Spaces at the ends of lines do not count.
pub(crate) fn is_shown(shown: &str, printed: &str) -> bool {
    let shown: Vec<&str> = shown.trim().lines().map(str::trim_end).collect();
    let printed: Vec<&str> = printed.trim().lines().map(str::trim_end).collect();
    are_lines(&shown, &printed)
}

fn are_lines(shown: &[&str], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line.trim() == "…" => {
            (0..=printed.len()).any(|at| are_lines(rest, printed.get(at..).unwrap_or_default()))
        }
        Some((line, rest)) => printed
            .split_first()
            .is_some_and(|(first, others)| is_line(line, first) && are_lines(rest, others)),
    }
}

fn is_line(shown: &str, printed: &str) -> bool {
    let mut parts = shown.split(ANY);
    let Some(mut rest) = printed.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ellipses_stand_for_anything() {
        for (shown, printed) in [
            ("a\nb\n", "a  \nb"),
            ("issued … for Acme", "issued 1Ab for Acme"),
            ("a…b…c", "a1b2b3c"),
            ("…\nlast", "one\ntwo\nlast"),
            ("first\n…", "first"),
        ] {
            assert!(is_shown(shown, printed), "{shown:?} {printed:?}");
        }
    }

    #[test]
    fn other_output_is_not_shown() {
        for (shown, printed) in [
            ("a", "a\nb"),
            ("a\nb", "a"),
            ("issued … for Acme", "issued 1Ab for Globex"),
            ("a…b", "a1c"),
            ("…\nlast", "last\nmore"),
            ("", "a"),
        ] {
            assert!(!is_shown(shown, printed), "{shown:?} {printed:?}");
        }
    }
}
