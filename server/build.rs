//! Takes the built page (`dist/`, made by `trunk build`) into the program: every file as it is, and compressed where
//! that pays. Without `dist/` the program says how to build it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../dist");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    // Cargo looks for changes in directories that exist only; this one is in .gitignore.
    let _ = fs::create_dir_all(&dist);
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut table = String::from("&[\n");
    let mut files = Vec::new();
    list(&dist, &mut files);
    files.sort();
    for (index, file) in files.iter().enumerate() {
        let contents = fs::read(file).expect("a file of the page");
        let compressed = compress(&contents);
        let path =
            file.strip_prefix(&dist).expect("it was listed there").to_str().expect("a page's file has a plain name");
        let brotli = if compressed.len() < contents.len() * 9 / 10 {
            let name = out.join(format!("page-{index}.br"));
            fs::write(&name, compressed).expect("OUT_DIR can be written");
            format!("Some(include_bytes!({name:?}))")
        } else {
            "None".into()
        };
        writeln!(table, "    File {{ path: {path:?}, plain: include_bytes!({file:?}), brotli: {brotli} }},")
            .expect("a string");
    }
    table.push_str("]\n");
    fs::write(out.join("page.rs"), table).expect("OUT_DIR can be written");
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn compress(contents: &[u8]) -> Vec<u8> {
    // As small as it gets where the page is measured, quickly where it is only tried.
    let quality = if env::var("PROFILE").is_ok_and(|profile| profile == "release") { 11 } else { 4 };
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 1 << 16, quality, 22);
    writer.write_all(contents).expect("a vector takes everything");
    writer.into_inner()
}
