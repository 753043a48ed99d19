//! The words of one line, each with its column.
//!
//! A word ends at white space. Quotes may stand anywhere in it, and what they hold is taken as it is, but for `\"`, `\\`,
//! `\n`, `\r`, `\t` and `\xNN` (any byte). A `#` that begins a word begins a comment.

use super::ParseError;

/// One word: its bytes, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// In characters, from 1.
    pub column: usize,
    letters: Vec<Letter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Letter {
    byte: u8,
    /// Taken as it is: never a separator.
    quoted: bool,
    column: usize,
}

/// The words of a line, and the comment that ends it, if one does.
pub(super) fn words(line: &str, number: usize) -> Result<(Vec<Word>, Option<&str>), ParseError> {
    let mut words = Vec::new();
    let mut chars = line.char_indices().zip(1..).peekable();
    while let Some(&((at, first), start)) = chars.peek() {
        if first.is_whitespace() {
            chars.next();
            continue;
        }
        if first == '#' {
            return Ok((words, Some(line[at..].trim_end())));
        }
        let mut word = Word { column: start, letters: Vec::new() };
        let mut quote = None;
        while let Some(&((_, letter), column)) = chars.peek() {
            if quote.is_none() && letter.is_whitespace() {
                break;
            }
            chars.next();
            match (letter, quote) {
                ('"', None) => quote = Some(column),
                ('"', Some(_)) => quote = None,
                ('\\', Some(_)) => {
                    let escape = chars.next().map(|((_, letter), _)| letter);
                    let byte = match escape {
                        Some('"') => b'"',
                        Some('\\') => b'\\',
                        Some('n') => b'\n',
                        Some('r') => b'\r',
                        Some('t') => b'\t',
                        Some('x') => {
                            let mut digit = || chars.next().and_then(|((_, letter), _)| letter.to_digit(16));
                            match (digit(), digit()) {
                                (Some(high), Some(low)) => (high * 16 + low) as u8,
                                _ => return Err(ParseError::new(number, column, "expected two hex digits after \\x")),
                            }
                        }
                        _ => {
                            let message = r#"expected one of \" \\ \n \r \t \xNN here"#;
                            return Err(ParseError::new(number, column, message));
                        }
                    };
                    word.letters.push(Letter { byte, quoted: true, column });
                }
                _ => {
                    let mut buffer = [0; 4];
                    let bytes = letter.encode_utf8(&mut buffer).bytes();
                    word.letters.extend(bytes.map(|byte| Letter { byte, quoted: quote.is_some(), column }));
                }
            }
        }
        if let Some(column) = quote {
            return Err(ParseError::new(number, column, "this quote is not closed before the line ends"));
        }
        words.push(word);
    }
    Ok((words, None))
}

impl Word {
    pub fn bytes(&self) -> Vec<u8> {
        self.letters.iter().map(|letter| letter.byte).collect()
    }

    /// As text; `None` where it is not UTF-8.
    pub fn text(&self) -> Option<String> {
        String::from_utf8(self.bytes()).ok()
    }

    /// What stands before and after the first `separator` outside quotes.
    pub fn split(&self, separator: u8) -> Option<(Word, Word)> {
        let at = self.letters.iter().position(|letter| !letter.quoted && letter.byte == separator)?;
        let after = Word { column: self.letters[at].column + 1, letters: self.letters[at + 1..].to_vec() };
        Some((Word { column: self.column, letters: self.letters[..at].to_vec() }, after))
    }
}

/// A value as it must be written to be read back: bare where it can be, else in quotes. `bare` says which characters
/// may stand without them.
pub(super) fn quote(value: &[u8], bare: impl Fn(char) -> bool) -> String {
    let text = std::str::from_utf8(value);
    if let Ok(text) = text
        && !text.is_empty()
        && !text.starts_with('#')
        && text.chars().all(|letter| !letter.is_whitespace() && !letter.is_control() && letter != '"' && bare(letter))
    {
        return text.to_string();
    }
    let mut quoted = String::from("\"");
    for chunk in value.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '"' => quoted.push_str("\\\""),
                '\\' => quoted.push_str("\\\\"),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                letter if letter.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", letter as u32)),
                letter => quoted.push(letter),
            }
        }
        chunk.invalid().iter().for_each(|byte| quoted.push_str(&format!("\\x{byte:02x}")));
    }
    quoted.push('"');
    quoted
}
