//! `ottla do`: lines of a scenario, done on a server that runs.
//!
//! Exit code 0: all were done. 1: one was not, or there is no server. 2: the text is wrong, and nothing was done.

use std::io::{self, Read};
use std::process::ExitCode;

use clap::Args;
use ottla_core::sim::scenario::parse::MAX_TEXT;
use serde::Deserialize;

use crate::page;
use crate::say::{complain, say};

#[derive(Args)]
pub struct DoArgs {
    /// Lines such as 'kill broker-2'; words without quotes are one line, and without any the lines are read from stdin
    #[arg(value_name = "LINE")]
    lines: Vec<String>,
    /// Where the server's page is
    #[arg(long, value_name = "URL", default_value = page::DEFAULT)]
    http: String,
}

/// One object of the server's answer.
#[derive(Deserialize)]
struct Told {
    line: usize,
    column: Option<usize>,
    action: Option<String>,
    done: Option<String>,
    error: Option<String>,
}

pub fn act(args: DoArgs) -> ExitCode {
    let text = match text(args.lines) {
        Ok(text) => text,
        Err(error) => return fail(&error.to_string(), 2),
    };
    let (status, body) = match page::ask(&args.http, "POST", "/api/actions", &text) {
        Ok(answer) => answer,
        Err(error) => return fail(&format!("{}: {error}", args.http), 1),
    };
    let Ok(told) = body.lines().map(serde_json::from_str::<Told>).collect::<Result<Vec<_>, _>>() else {
        return fail(&format!("{} answered {status}: {}", args.http, body.trim()), 1);
    };
    for Told { line, column, action, done, error } in told {
        match (action, done, error) {
            (Some(action), Some(done), _) => say(&format!("{action}: {done}")),
            (Some(action), _, Some(error)) => complain!("{action} is not done: {error}"),
            (None, _, Some(error)) => complain!("line {line}, column {}: {error}", column.unwrap_or(1)),
            _ => {}
        }
    }
    match status {
        200 => ExitCode::SUCCESS,
        400 => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

fn fail(why: &str, code: u8) -> ExitCode {
    complain!("ottla: {why}");
    ExitCode::from(code)
}

/// `'kill broker-2' 'start broker-2'` are two lines, `kill broker-2` is one.
fn text(words: Vec<String>) -> io::Result<String> {
    if words.is_empty() {
        let mut text = String::new();
        io::stdin().lock().take(MAX_TEXT as u64 + 1).read_to_string(&mut text)?;
        return match text.len() > MAX_TEXT {
            true => {
                Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("the input has more than {MAX_TEXT} bytes")))
            }
            false => Ok(text),
        };
    }
    let quoted = words.iter().any(|word| word.contains(char::is_whitespace));
    Ok(words.join(if quoted { "\n" } else { " " }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_arguments_are_lines_and_bare_words_are_one() {
        let text = |words: &[&str]| text(words.iter().map(|word| word.to_string()).collect()).unwrap();
        assert_eq!(text(&["kill broker-2", "heal"]), "kill broker-2\nheal");
        assert_eq!(text(&["kill", "broker-2"]), "kill broker-2");
        assert_eq!(text(&["heal"]), "heal");
    }
}
