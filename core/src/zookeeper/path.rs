//! Which paths can be: ZooKeeper's `PathUtils.validatePath`.

use super::Path;
use super::protocol::Error;

/// Znodes that are always there.
pub const RESERVED: [&str; 4] = ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"];

/// Whether a znode may be called so.
pub fn validate(path: &str) -> Result<(), Error> {
    if wrong(path).is_none() { Ok(()) } else { Err(Error::BadArguments) }
}

/// Why no znode may be called so, in ZooKeeper's words.
pub fn wrong(path: &str) -> Option<String> {
    if path == "/" {
        return None;
    }
    let whole = if path.is_empty() {
        "Path length must be > 0"
    } else if !path.starts_with('/') {
        "Path must start with / character"
    } else if path.ends_with('/') {
        "Path must not end with / character"
    } else {
        let (at, why) = first_wrong(path)?;
        return Some(format!("Invalid path string \"{path}\" caused by {why} @{at}"));
    };
    Some(whole.to_owned())
}

/// Where, counted in Java's `char`s, and what.
fn first_wrong(path: &str) -> Option<(usize, &'static str)> {
    let mut at = 0;
    for name in path.split('/').skip(1) {
        at += 1;
        let end = at + name.encode_utf16().count();
        match name {
            "" => return Some((at, "empty node name specified")),
            "." | ".." => return Some((end - 1, "relative paths not allowed")),
            _ => {}
        }
        for letter in name.chars() {
            match letter {
                '\0' => return Some((at, "null character not allowed")),
                letter if !legal(letter) => return Some((at, "invalid character")),
                letter => at += letter.len_utf16(),
            }
        }
    }
    None
}

/// No control characters, and nothing that Java needs two `char`s for or that is for private use.
fn legal(letter: char) -> bool {
    !matches!(letter, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

/// The parent's path and the name in it. None of the root.
pub fn split(path: &str) -> Option<(&str, &str)> {
    match path.rsplit_once('/')? {
        ("", "") => None,
        ("", name) => Some(("/", name)),
        pair => Some(pair),
    }
}

/// The path of a child.
pub fn join(parent: &str, name: &str) -> Path {
    if parent == "/" { format!("/{name}").into() } else { format!("{parent}/{name}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_zookeeper_refuses_are_refused() {
        for path in ["/", "/a", "/a/b.c", "/a/...", "/a/ b", "/é"] {
            assert_eq!(validate(path), Ok(()), "{path:?}");
        }
        for path in ["", "a", "/a/", "//", "/a//b", "/a/./b", "/..", "/a\0", "/a\u{1}", "/a\u{f700}", "/🦦"] {
            assert_eq!(validate(path), Err(Error::BadArguments), "{path:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_zookeepers_words() {
        for (path, why) in [
            ("", "Path length must be > 0"),
            ("brokers", "Path must start with / character"),
            ("/brokers/", "Path must not end with / character"),
            ("/a//b", "Invalid path string \"/a//b\" caused by empty node name specified @3"),
            ("/a/./b", "Invalid path string \"/a/./b\" caused by relative paths not allowed @3"),
            ("/a/..", "Invalid path string \"/a/..\" caused by relative paths not allowed @4"),
            ("/a\0", "Invalid path string \"/a\0\" caused by null character not allowed @2"),
            ("/ab\u{1}", "Invalid path string \"/ab\u{1}\" caused by invalid character @3"),
        ] {
            assert_eq!(wrong(path).as_deref(), Some(why));
        }
    }

    #[test]
    fn a_path_is_its_parent_and_a_name() {
        assert_eq!(split("/"), None);
        assert_eq!(split("/a"), Some(("/", "a")));
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        assert_eq!((&*join("/", "a"), &*join("/a", "b")), ("/a", "/a/b"));
    }
}
