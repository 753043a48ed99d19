//! A run as a link: `#v1.` + base64url(deflate(text with seed and cursor)). Actions, never state.

use crate::time::Instant;

/// The fragment for a scenario text seen at `cursor`, with its `#`.
pub fn encode(_text: &str, _cursor: Instant) -> String {
    todo!()
}

/// The text and the cursor of a fragment (with or without `#`); an error in words where it is damaged or too large.
pub fn decode(_fragment: &str) -> Result<(String, Instant), String> {
    todo!()
}
