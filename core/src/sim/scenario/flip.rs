//! What a scenario hangs on: comments that say which change to the line below them breaks what it expects.
//!
//! ```text
//! # flip: acks=all -> acks=1
//! producer p1 topic=orders acks=all
//! # flip: without
//! @12s start broker-2
//! # flip: with bug truncate-to-high-watermark
//! topic orders partitions=1
//! ```
//!
//! `A -> B` puts other words in the place of those that stand once in that line; `without` takes the line away; `with LINE`
//! puts another one above it. Several comments above one line are several flips, each for itself.

use std::fmt::{self, Display, Formatter};

const MARK: &str = "# flip:";

/// One change, and the line, counted from 0, that it is made to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flip<'a> {
    pub line: usize,
    pub change: Change<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    Replace(&'a str, &'a str),
    Without,
    With(&'a str),
}

/// Whether the line is a comment for this module, and not for a reader.
pub fn is_flip(line: &str) -> bool {
    line.starts_with(MARK)
}

/// All flips of a scenario's text; an error in words where one says nothing, or has no line to change.
pub fn all(text: &str) -> Result<Vec<Flip<'_>>, String> {
    let lines: Vec<&str> = text.lines().collect();
    let marked = lines.iter().enumerate().filter_map(|(at, line)| Some((at, line.strip_prefix(MARK)?.trim())));
    marked
        .map(|(at, words)| {
            let wrong = |why: &str| format!("line {}: flip: {words}: {why}", at + 1);
            let below = lines.iter().enumerate().skip(at).find(|(_, line)| !line.starts_with('#'));
            let Some((line, changed)) = below.filter(|(_, line)| !line.trim().is_empty()) else {
                return Err(wrong("there is no line below it"));
            };
            let change = match (words, words.split_once(" -> "), words.strip_prefix("with ")) {
                ("without", ..) => Change::Without,
                (_, _, Some(more)) => Change::With(more),
                (_, Some((from, _)), _) if places(changed, from).count() != 1 => {
                    return Err(wrong("those words do not stand once in the line below it"));
                }
                (_, Some((from, to)), _) => Change::Replace(from, to),
                _ => return Err(wrong("expected A -> B, without, or with LINE")),
            };
            Ok(Flip { line, change })
        })
        .collect()
}

impl Flip<'_> {
    /// The scenario's text with the change made.
    pub fn apply(&self, text: &str) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        match (self.change.clone(), lines.get_mut(self.line)) {
            (_, None) => {}
            (Change::Without, Some(_)) => drop(lines.remove(self.line)),
            (Change::With(more), Some(_)) => lines.insert(self.line, more.to_owned()),
            (Change::Replace(from, to), Some(line)) => {
                let place = places(line, from).next();
                if let Some(at) = place {
                    line.replace_range(at..at + from.len(), to);
                }
            }
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

impl Display for Flip<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.change {
            Change::Replace(from, to) => write!(f, "{to} instead of {from} in line {}", self.line + 1),
            Change::Without => write!(f, "without line {}", self.line + 1),
            Change::With(more) => write!(f, "with {more}"),
        }
    }
}

/// Where `words` stand in the line, as whole words.
fn places<'a>(line: &'a str, words: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_end = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_whitespace);
    line.match_indices(words).map(|(at, _)| at).filter(move |&at| {
        let (before, after) = (at.checked_sub(1), at + words.len());
        !words.is_empty()
            && is_end(before.and_then(|before| line.as_bytes().get(before)))
            && is_end(line.as_bytes().get(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Title\n\n# flip: acks=1 -> acks=all\n# flip: with bug kip-101-only\nproducer p1 acks=1 x.acks=1\n# Why.\n# flip: without\n@5s kill broker-1\n";

    #[test]
    fn every_flip_changes_the_line_below_it() {
        let flips = all(TEXT).unwrap();
        let flipped: Vec<String> = flips.iter().map(|flip| flip.apply(TEXT)).collect();
        assert_eq!(flipped[0], TEXT.replace("p1 acks=1", "p1 acks=all"));
        assert_eq!(flipped[1], TEXT.replace("producer", "bug kip-101-only\nproducer"));
        assert_eq!(flipped[2], TEXT.replace("@5s kill broker-1\n", ""));
        let said: Vec<String> = flips.iter().map(Flip::to_string).collect();
        assert_eq!(said, ["acks=all instead of acks=1 in line 5", "with bug kip-101-only", "without line 8"]);
    }

    #[test]
    fn a_flip_that_changes_nothing_is_refused() {
        for (text, why) in [
            ("# flip: without\n\ntopic t\n", "line 1: flip: without: there is no line below it"),
            (
                "# flip: a=1 -> a=2\nx a=1 a=1\n",
                "line 1: flip: a=1 -> a=2: those words do not stand once in the line below it",
            ),
            (
                "# flip: a=1 -> a=2\nx a=10\n",
                "line 1: flip: a=1 -> a=2: those words do not stand once in the line below it",
            ),
            ("# flip: a=1\nx a=1\n", "line 1: flip: a=1: expected A -> B, without, or with LINE"),
        ] {
            assert_eq!(all(text), Err(why.to_owned()));
        }
    }
}
