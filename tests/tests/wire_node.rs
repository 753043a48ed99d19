//! kafkajs, from the npm registry, with the program of `wire/node`.

use std::fs;
use std::process::Command;

use ottla_tests::chain::chain;
use ottla_tests::foreign::{has, home, run, session, sources};

const NEEDED: [&str; 2] = ["node", "npm"];

fn program() -> Command {
    const SOURCES: [&str; 6] =
        ["package.json", "package-lock.json", "main.mjs", "session.mjs", "groups.mjs", "chain.mjs"];
    // Node looks for packages beside the program and above it, so the program goes to them.
    let installed = home(env!("CARGO_TARGET_TMPDIR"), "node", "installed", &SOURCES, |home| {
        for file in SOURCES {
            fs::copy(sources("node").join(file), home.join(file)).expect("the target directory can be written");
        }
        run(Command::new("npm").current_dir(home).args(["ci", "--no-audit", "--no-fund"]));
    });
    let mut command = Command::new("node");
    command.arg(installed.join("main.mjs")).env("KAFKAJS_NO_PARTITIONER_WARNING", "1");
    command
}

#[test]
fn kafkajs_does_what_its_users_do() {
    if has(&NEEDED) {
        session(program);
    }
}

#[test]
fn kafkajs_transforms_every_record_exactly_once() {
    if has(&NEEDED) {
        chain(program, 1);
    }
}
