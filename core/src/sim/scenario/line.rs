//! One line of a scenario, as words, and what is told of a word that is wrong.

use super::ParseError;
use super::lex::Word;
use super::names::Names;
use crate::near::hint;

pub(super) type Parsed<T> = Result<T, ParseError>;

/// One line, as words.
pub(super) struct Line<'a> {
    pub number: usize,
    pub words: Vec<Word>,
    /// Absent for a lone action: whoever takes it knows who is there.
    pub names: Option<&'a Names>,
}

impl Line<'_> {
    pub(super) fn wrong<T>(&self, index: usize, message: impl Into<String>) -> Parsed<T> {
        let column = match self.words.get(index) {
            Some(word) => word.column,
            // Past the end: where the next word would begin.
            None => {
                self.words.last().map_or(1, |word| word.column + word.text().map_or(0, |text| text.chars().count()) + 1)
            }
        };
        Err(ParseError::new(self.number, column, message))
    }

    /// Of the line as a whole.
    pub(super) fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(self.number, self.words.first().map_or(1, |word| word.column), message)
    }

    /// What is wrong with the line's properties from `from` on together: told of the one that it names first.
    pub(super) fn wrong_together<T>(&self, from: usize, message: &str) -> Parsed<T> {
        let named = self.properties(from)?.into_iter().filter_map(|(name, _, word)| Some((message.find(&name)?, word)));
        match named.min_by_key(|(place, _)| *place) {
            Some((_, word)) => self.at(&word, message),
            None => Err(self.error(message)),
        }
    }

    pub(super) fn at<T>(&self, word: &Word, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError::new(self.number, word.column, message))
    }

    pub(super) fn text(&self, index: usize, expected: &str) -> Parsed<String> {
        match self.words.get(index).map(Word::text) {
            Some(Some(text)) => Ok(text),
            Some(None) => self.wrong(index, "expected text in UTF-8"),
            None => self.wrong(index, format!("expected {expected}")),
        }
    }

    pub(super) fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
        &self,
        index: usize,
        expected: &str,
        range: std::ops::RangeInclusive<T>,
    ) -> Parsed<T> {
        let text = self.text(index, expected)?;
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => self.wrong(index, format!("expected {expected}, found {text}")),
        }
    }

    /// Nothing may follow.
    pub(super) fn end(&self, index: usize) -> Parsed<()> {
        match self.words.get(index) {
            Some(word) => self.at(word, "expected the line to end here"),
            None => Ok(()),
        }
    }

    /// The `name=value` words from there on: no name twice.
    pub(super) fn properties(&self, from: usize) -> Parsed<Vec<(String, String, Word)>> {
        let mut properties: Vec<(String, String, Word)> = Vec::new();
        for word in self.words.iter().skip(from) {
            let pair = word.split(b'=').and_then(|(name, value)| Some((name.text()?, value.text()?)));
            match pair {
                Some((name, _)) if properties.iter().any(|(known, ..)| *known == name) => {
                    return self.at(word, format!("{name} is given twice"));
                }
                Some((name, value)) if !name.is_empty() => properties.push((name, value, word.clone())),
                _ => return self.at(word, "expected name=value, such as acks=all"),
            }
        }
        Ok(properties)
    }
}

/// What is told of a word where it is none of those that may stand there.
pub(super) fn none_of<'a>(found: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let all: Vec<&str> = known.clone().collect();
    format!("expected one of {}, found {found}.{}", all.join(", "), hint(found, known))
}
