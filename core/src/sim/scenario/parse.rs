//! Text to [`Scenario`], and one line to [`Action`].

use super::{Action, ParseError, Scenario};

pub fn scenario(_text: &str) -> Result<Scenario, Vec<ParseError>> {
    todo!()
}

/// One action line without its `@time`, as the page and the HTTP API send it.
pub fn action(_line: &str) -> Result<Action, ParseError> {
    todo!()
}
