//! The native half of the twin test, and what a wasm file of ours may import.
//!
//! `UPDATE_GOLDEN=1 cargo test -p ottla-tests --test twin` writes the hash that both halves compare with.

use std::path::{Path, PathBuf};

use ottla_core::sim::Simulation;
use ottla_core::sim::scenario::parse;
use ottla_core::sim::trace::{Trace, TraceHash};
use ottla_core::time::Instant;

#[test]
fn one_seed_has_one_trace_natively_and_in_the_browser() {
    let scenario = parse::scenario(include_str!("../../core/tests/twin/storm.ottla")).unwrap();
    let mut simulation = Simulation::new(&scenario).unwrap();
    simulation.set_trace(Trace::Hash(TraceHash::default()));
    simulation.run(Instant::from_millis(15_000), u64::MAX);
    let hash = format!("{:016x}", simulation.trace().hash().unwrap());

    let file = root().join("core/tests/twin/hash.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, format!("{hash}\n")).unwrap();
    }
    assert_eq!(hash, std::fs::read_to_string(&file).unwrap().trim());
}

/// `env` is where a clock, a random source or a C library would come from: whoever links one in has to bring it to
/// every page.
#[test]
fn the_page_imports_nothing_from_env() {
    let files = std::fs::read_dir(root().join("dist")).into_iter().flatten().flatten().map(|entry| entry.path());
    let built: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|kind| kind == "wasm")).collect();
    assert!(!built.is_empty(), "there is no page in dist/: `make page` builds it");
    for path in built {
        let modules = imported_modules(&std::fs::read(&path).unwrap()).unwrap();
        assert!(!modules.is_empty(), "{} imports something from its shell", path.display());
        assert!(!modules.iter().any(|module| module == "env"), "{} imports from env", path.display());
    }
}

#[test]
fn imports_are_read_from_a_wasm_file() {
    let wasm = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x0b\x01\x03env\x03now\0\0";
    assert_eq!(imported_modules(wasm), Some(vec!["env".to_owned()]));
    assert_eq!(imported_modules(b"\0asm\x01\0\0\0"), Some(vec![]));
    assert_eq!(imported_modules(b"\0asm\x01\0\0\0\x02\x7f"), None);
}

/// The module names of a wasm file's import section (<https://webassembly.github.io/spec/core/binary/modules.html>).
fn imported_modules(wasm: &[u8]) -> Option<Vec<String>> {
    let mut rest = wasm.strip_prefix(b"\0asm\x01\0\0\0")?;
    while let Some((&section, after)) = rest.split_first() {
        rest = after;
        let len = number(&mut rest)?;
        let mut body = rest.get(..len)?;
        rest = &rest[len..];
        if section != 2 {
            continue;
        }
        let mut modules = Vec::new();
        for _ in 0..number(&mut body)? {
            modules.push(name(&mut body)?);
            name(&mut body)?;
            let (&kind, after) = body.split_first()?;
            body = after;
            match kind {
                0 => drop(number(&mut body)?),
                1 => {
                    body = body.get(1..)?;
                    limits(&mut body)?;
                }
                2 => limits(&mut body)?,
                3 => body = body.get(2..)?,
                _ => return None,
            }
        }
        return Some(modules);
    }
    Some(Vec::new())
}

fn limits(bytes: &mut &[u8]) -> Option<()> {
    let flags = number(bytes)?;
    number(bytes)?;
    if flags & 1 == 1 {
        number(bytes)?;
    }
    Some(())
}

fn name(bytes: &mut &[u8]) -> Option<String> {
    let len = number(bytes)?;
    let name = String::from_utf8(bytes.get(..len)?.to_vec()).ok()?;
    *bytes = &bytes[len..];
    Some(name)
}

/// LEB128, unsigned.
fn number(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
