//! franz-go with kadm, from the Go module proxy, with the program of `wire/go`.

use std::process::Command;

use ottla_tests::chain::chain;
use ottla_tests::foreign::{has, home, run, session, sources};

fn program() -> Command {
    const SOURCES: [&str; 6] = ["go.mod", "go.sum", "main.go", "session.go", "groups.go", "chain.go"];
    let built = home(env!("CARGO_TARGET_TMPDIR"), "go", "built", &SOURCES, |home| {
        let mut go = Command::new("go");
        go.current_dir(sources("go")).args(["build", "-o"]).arg(home.join("wire")).arg(".");
        run(&mut go);
    });
    Command::new(built.join("wire"))
}

#[test]
fn franz_go_does_what_its_users_do() {
    if has(&["go"]) {
        session(program);
    }
}

#[test]
fn franz_go_transforms_every_record_exactly_once() {
    if has(&["go"]) {
        chain(program, 2);
    }
}
