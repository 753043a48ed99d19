//! A run as a link: `#v1.` + base64url(deflate(text with seed and cursor)). Actions, never state.
//!
//! ```text
//! #v1.  base64url, no padding:  crc32c of what follows (4 bytes) | deflate: cursor in ns, newline, text
//! ```
//!
//! A link comes from strangers: it is read whole or refused with a reason, and inflating stops at the size of the
//! largest scenario.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::parse::MAX_TEXT;
use crate::crc::crc32c;
use crate::deflate::{InflateError, deflate, inflate};
use crate::time::Instant;

const PREFIX: &str = "v1.";
/// The cursor's line before the text: at most twenty digits.
const MAX_CURSOR: usize = 21;
/// The level that takes most off.
const BEST: u8 = 9;

/// The fragment for a scenario text seen at `cursor`, with its `#`.
pub fn encode(text: &str, cursor: Instant) -> String {
    let deflated = deflate(format!("{}\n{text}", cursor.as_nanos()).as_bytes(), BEST);
    let bytes = [&crc32c(&deflated).to_be_bytes()[..], &deflated].concat();
    format!("#{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// The text and the cursor of a fragment (with or without `#`); an error in words where it is damaged or too large.
pub fn decode(fragment: &str) -> Result<(String, Instant), String> {
    let fragment = fragment.strip_prefix('#').unwrap_or(fragment);
    let Some(body) = fragment.strip_prefix(PREFIX) else {
        return Err(match fragment.split_once('.') {
            Some((version, _)) if version.len() <= 4 && version.starts_with('v') => {
                format!("this link is of version {version}, and this page reads v1")
            }
            _ => "this is not a link to a run: it does not begin with v1.".to_string(),
        });
    };
    if body.len() > 2 * MAX_TEXT {
        return Err(format!("this link is too long: {} characters", body.len()));
    }
    let damaged = |how: &str| format!("this link is damaged: {how}");
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(body.trim_end_matches('='))
        .map_err(|_| damaged("characters are missing, or some do not belong there"))?;
    let Some((checksum, deflated)) = bytes.split_first_chunk::<4>() else { return Err(damaged("it is cut short")) };
    if crc32c(deflated) != u32::from_be_bytes(*checksum) {
        return Err(damaged("its checksum is wrong; was all of it copied?"));
    }
    let mut text = Vec::new();
    let limit = MAX_TEXT + MAX_CURSOR;
    inflate(deflated, &mut text, limit).map_err(|error| match error {
        InflateError::Corrupt(_) => damaged("it does not inflate"),
        InflateError::TooLarge => format!("this link holds more than the {MAX_TEXT} bytes that a scenario may have"),
    })?;
    let text = String::from_utf8(text).map_err(|_| damaged("its text is not UTF-8"))?;
    let (cursor, text) = text.split_once('\n').ok_or_else(|| damaged("it has no cursor"))?;
    let cursor = cursor.parse().map_err(|_| damaged("its cursor is not a number"))?;
    Ok((text.to_string(), Instant::from_nanos(cursor)))
}

#[cfg(test)]
mod tests {
    use super::super::prepared;
    use super::*;

    #[test]
    fn every_prepared_scenario_fits_a_link_of_2000_characters_and_comes_back() {
        for scenario in prepared::ALL {
            let link = encode(scenario.text, Instant::from_millis(12_345));
            assert!(link.len() <= 2_000, "{}: {} characters", scenario.name, link.len());
            assert_eq!(decode(&link), Ok((scenario.text.to_string(), Instant::from_millis(12_345))));
        }
    }

    #[test]
    fn a_link_with_any_character_changed_or_cut_is_refused() {
        let link = encode(prepared::ALL[0].text, Instant::ZERO);
        for at in 0..link.len() {
            assert!(decode(&link[..at]).is_err(), "cut at {at}");
            let mut changed = link.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let known = decode(&link);
            assert!(decode(&changed).is_err() || decode(&changed) == known, "changed at {at}");
        }
        assert!(decode("#v2.AAAA").unwrap_err().contains("version v2"));
    }

    #[test]
    fn a_link_that_inflates_without_end_is_refused() {
        let deflated = deflate(&vec![b'\n'; 50_000_000], BEST);
        let mut bytes = crc32c(&deflated).to_be_bytes().to_vec();
        bytes.extend(deflated);
        let error = decode(&format!("v1.{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))).unwrap_err();
        assert!(error.contains("more than") || error.contains("too long"), "{error}");
    }
}
