//! Plain English: how often a page uses words that make a sentence hard to read.

use super::page::Page;

/// Words that are held to a rate, and the limits per 1,000 words of prose.
struct Rate {
    words: &'static [&'static str],
    least: f64,
    most: f64,
}

const RATES: [Rate; 3] = [
    // Conditions are worded with `if` and `when`.
    Rate {
        words: &["where"],
        least: 0.0,
        most: 2.0,
    },
    Rate {
        words: &["behind", "alone", "anew", "whoever", "nobody"],
        least: 0.0,
        most: 0.3,
    },
    Rate {
        words: &["if", "when"],
        least: 6.0,
        most: f64::INFINITY,
    },
];

/// Each rate that the README, or the pages of the book together, do not meet.
pub(crate) fn faults(pages: &[Page]) -> Vec<String> {
    let prose = |is_part: fn(&str) -> bool| -> String {
        let part = pages.iter().filter(|page| is_part(&page.path));
        part.map(|page| page.prose.as_str()).collect()
    };
    let readme = prose(|path| path == "README.md");
    let book = prose(|path| path.starts_with("docs/"));
    let mut faults = Vec::new();
    for (name, prose) in [("README.md", &readme), ("docs/", &book)] {
        for rate in RATES {
            let found = per_thousand(prose, rate.words);
            if found < rate.least || found > rate.most {
                let words = rate.words.join(", ");
                let (least, most) = (rate.least, rate.most);
                faults.push(format!(
                    "{name}: {words}: expected {least} to {most} per 1,000 words, found {found:.2}"
                ));
            }
        }
    }
    faults
}

fn per_thousand(prose: &str, words: &[&str]) -> f64 {
    let lower = prose.to_lowercase();
    let all = lower.split(|c: char| !c.is_alphabetic() && c != '\'' && c != '-');
    let mut all_count = 0_u32;
    let mut found = 0_u32;
    for word in all.filter(|word| !word.is_empty()) {
        all_count = all_count.saturating_add(1);
        if words.contains(&word) {
            found = found.saturating_add(1);
        }
    }
    f64::from(found) * 1000.0 / f64::from(all_count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(text: &str) -> usize {
        let page = |path| Page::parse(path, text.to_owned());
        faults(&[page("README.md"), page("docs/a.md")]).len()
    }

    #[test]
    fn plain_text_passes_and_other_text_does_not() {
        let plain = "If a key ends, it is denied. ".repeat(50);
        assert_eq!(faults_of(&plain), 0);
        let hard = "Where a key ends, nobody is let in. ".repeat(50);
        assert_eq!(faults_of(&hard), 6, "three rates on two pages");
    }

    #[test]
    fn code_is_not_counted() {
        let text = "If it is `where`, it is. ".repeat(50) + "\n```sql\nwhere alone\n```\n";
        assert_eq!(faults_of(&text), 0);
    }
}
