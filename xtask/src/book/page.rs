//! A Markdown page: its headings, links, prose and code blocks.

use core::mem;
use std::collections::HashMap;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// One page, as its reader sees it.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// From the root of the repository, such as `docs/README.md`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The anchors of its headings, as GitHub and mdBook make them.
    pub(crate) anchors: Vec<String>,
    /// The destinations of its links and images.
    pub(crate) links: Vec<String>,
    /// Its text without code.
    pub(crate) prose: String,
    pub(crate) blocks: Vec<Block>,
}

/// A fenced code block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The first word of its info string.
    pub(crate) language: String,
    pub(crate) text: String,
    pub(crate) marker: Marker,
    pub(crate) line: usize,
}

/// What the comment before a block makes of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    None,
    /// `<!-- file: PATH -->`: it is written to this path.
    File(String),
    /// `<!-- run -->`: bash runs it.
    Run,
    /// `<!-- prints -->`: what the block before it printed.
    Prints,
    /// `<!-- not run: REASON -->`: a test elsewhere covers it, or nothing can.
    NotRun,
    /// It is written by a command of the project or compared by a test of its own.
    Derived,
    /// A comment with another meaning, or a mistake in one of these.
    Unknown(String),
}

/// Comments before blocks that are derived.
const DERIVED: [&str; 2] = ["cargo xtask ratios", "demo transcript"];

/// Each comment before a block that means nothing.
pub(crate) fn unknown_markers(pages: &[Page]) -> Vec<String> {
    let mut faults = Vec::new();
    for page in pages {
        for block in &page.blocks {
            if let Marker::Unknown(comment) = &block.marker {
                let (path, line) = (&page.path, block.line);
                faults.push(format!("{path}:{line}: {comment:?} is not a marker"));
            }
        }
    }
    faults
}

impl Marker {
    fn of(comment: &str) -> Self {
        let inside = comment.trim().strip_prefix("<!--");
        let inside = inside.and_then(|rest| rest.strip_suffix("-->"));
        match inside.unwrap_or_default().trim() {
            "" => Self::None,
            "run" => Self::Run,
            "prints" => Self::Prints,
            derived if DERIVED.contains(&derived) => Self::Derived,
            other => match other.split_once(": ") {
                Some(("file", path)) => Self::File(path.to_owned()),
                Some(("not run", _)) => Self::NotRun,
                _ => Self::Unknown(other.to_owned()),
            },
        }
    }
}

impl Page {
    pub(crate) fn parse(path: &str, text: String) -> Self {
        let mut page = Self {
            path: path.to_owned(),
            ..Self::default()
        };
        let mut heading: Option<String> = None;
        let mut block: Option<Block> = None;
        let mut comment = String::new();
        let mut taken = HashMap::new();
        let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
        for (event, range) in Parser::new_ext(&text, options).into_offset_iter() {
            match event {
                Event::Start(Tag::Heading { .. }) => {
                    comment.clear();
                    heading = Some(String::new());
                }
                Event::End(TagEnd::Heading(_)) => {
                    let name = anchor(&heading.take().unwrap_or_default());
                    page.anchors.push(unique(name, &mut taken));
                    page.prose.push_str(".\n");
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let info = match &kind {
                        CodeBlockKind::Fenced(info) => info.as_ref(),
                        CodeBlockKind::Indented => "",
                    };
                    let language = info.split([' ', ',']).next().unwrap_or_default();
                    let before = text.get(..range.start).unwrap_or_default();
                    block = Some(Block {
                        language: language.to_owned(),
                        text: String::new(),
                        marker: Marker::of(&mem::take(&mut comment)),
                        line: before.matches('\n').count().saturating_add(1),
                    });
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Html(html) => comment.push_str(&html),
                Event::Start(Tag::Paragraph | Tag::List(_) | Tag::Table(_)) => comment.clear(),
                Event::Text(words) => {
                    if let Some(block) = &mut block {
                        block.text.push_str(&words);
                        continue;
                    }
                    if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    }
                    page.prose.push_str(&words);
                }
                Event::Code(code) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&code);
                    }
                    page.prose.push_str(" x ");
                }
                Event::SoftBreak | Event::HardBreak | Event::End(TagEnd::TableCell) => {
                    page.prose.push(' ');
                }
                Event::End(TagEnd::Paragraph | TagEnd::Item) => page.prose.push('\n'),
                _ => {}
            }
        }
        page.text = text;
        page
    }
}

/// The anchor of a heading: lower case, no punctuation, hyphens for spaces.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c => c.is_alphanumeric().then_some(c),
        })
        .collect()
}

/// A repeated heading gets a number.
fn unique(name: String, taken: &mut HashMap<String, u32>) -> String {
    let count = taken.entry(name.clone()).or_default();
    let number = *count;
    *count = count.saturating_add(1);
    if number == 0 {
        name
    } else {
        format!("{name}-{number}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A `key`, and more\n\nSee [it](a.md#b) and ![one](b.svg).\n\n\
        <!-- file: src/main.rs -->\n```rust,ignore\nfn main() {}\n```\n\n## Again\n## Again\n\n\
        <!-- run -->\n```sh\ntrue\n```\n\nText.\n\n```sh\nfalse\n```\n";

    #[test]
    fn a_page_has_what_its_reader_sees() {
        let page = Page::parse("a.md", TEXT.to_owned());
        assert_eq!(page.anchors, ["a-key-and-more", "again", "again-1"]);
        assert_eq!(page.links, ["a.md#b", "b.svg"]);
        assert!(page.prose.contains("See it and one."), "{}", page.prose);
        assert!(!page.prose.contains("fn main"));
        let markers: Vec<&Marker> = page.blocks.iter().map(|block| &block.marker).collect();
        let file = Marker::File("src/main.rs".to_owned());
        assert_eq!(markers, [&file, &Marker::Run, &Marker::None]);
        assert_eq!(page.blocks[0].language, "rust");
        assert_eq!(page.blocks[0].text, "fn main() {}\n");
        assert_eq!(page.blocks[0].line, 6);
    }

    #[test]
    fn a_marker_with_a_mistake_is_a_fault() {
        let text = "<!-- print -->\n```text\nx\n```\n<!-- prints -->\n```text\nx\n```\n";
        let faults = unknown_markers(&[Page::parse("a.md", text.to_owned())]);
        assert_eq!(faults, ["a.md:2: \"print\" is not a marker"]);
    }

    #[test]
    fn a_comment_far_before_a_block_is_not_its_marker() {
        let page = Page::parse(
            "a.md",
            "<!-- run -->\n\nText.\n\n```sh\ntrue\n```\n".to_owned(),
        );
        assert_eq!(page.blocks[0].marker, Marker::None);
    }
}
