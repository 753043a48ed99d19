//! What documents and module headers point to is there.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file of that extension below `directory`.
fn files(directory: &Path, extension: &str, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && !["target", "dist", "node_modules"].contains(&name) {
            files(&path, extension, into);
        } else if path.extension().is_some_and(|own| own == extension) {
            into.push(path);
        }
    }
}

/// The targets of Markdown's links, `[words](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '\n']).next())
}

#[test]
fn links_of_documents_lead_to_files() {
    let (mut documents, mut count) = (Vec::new(), 0);
    files(&root(), "md", &mut documents);
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let path = document.parent().unwrap().join(target);
            assert!(path.exists(), "{}: {link} leads nowhere", document.display());
            count += 1;
        }
    }
    assert!(count > 10, "only {count} links were found");
}

/// A header names files and directories beside its own, below its module, or from the root of its crate or of the whole.
#[test]
fn files_that_module_headers_name_are_there() {
    let (mut sources, mut count) = (Vec::new(), 0);
    for room in ["core", "server", "web", "tests"] {
        files(&root().join(room), "rs", &mut sources);
    }
    for source in sources {
        let text = fs::read_to_string(&source).unwrap();
        let header = text.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join("\n");
        let beside = source.parent().unwrap();
        let inside = source.with_extension("");
        let from_crate = source.ancestors().find(|path| path.join("Cargo.toml").exists()).unwrap();
        let homes = [beside, &inside, &from_crate.join("src"), from_crate, &root()];
        // What is between backticks, code of several lines aside.
        for word in header.split('`').skip(1).step_by(2) {
            let is_path = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
            if !is_path || !(word.ends_with(".rs") || word.ends_with(".md") || word.ends_with(".tsv")) {
                continue;
            }
            let is_there = homes.iter().any(|home| home.join(word).exists());
            assert!(is_there, "{}: there is no {word}", source.display());
            count += 1;
        }
    }
    assert!(count > 100, "only {count} files were named");
}
