//! Which paths can be: ZooKeeper's `PathUtils.validatePath`.

use super::Path;
use super::protocol::Error;

/// Znodes that are always there.
pub const RESERVED: [&str; 4] = ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"];

/// Whether a znode may be called so.
pub fn validate(path: &str) -> Result<(), Error> {
    if path == "/" {
        return Ok(());
    }
    let Some(inner) = path.strip_prefix('/') else { return Err(Error::BadArguments) };
    let segment = |name: &str| !name.is_empty() && name != "." && name != ".." && name.chars().all(legal);
    if inner.split('/').all(segment) { Ok(()) } else { Err(Error::BadArguments) }
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
    fn a_path_is_its_parent_and_a_name() {
        assert_eq!(split("/"), None);
        assert_eq!(split("/a"), Some(("/", "a")));
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        assert_eq!((&*join("/", "a"), &*join("/a", "b")), ("/a", "/a/b"));
    }
}
