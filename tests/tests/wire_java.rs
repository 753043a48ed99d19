//! Apache Kafka's own Java client, from Maven Central, with the program of `wire/java`.

use std::process::Command;

use ottla_tests::chain::chain;
use ottla_tests::foreign::{has, home, run, session, sources};

const NEEDED: [&str; 3] = ["java", "javac", "mvn"];

fn program() -> Command {
    const SOURCES: [&str; 6] = ["pom.xml", "Wire.java", "Session.java", "Groups.java", "Shares.java", "Chain.java"];
    let java = sources("java");
    let jars = home(env!("CARGO_TARGET_TMPDIR"), "java", "jars", &SOURCES[..1], |home| {
        let mut maven = Command::new("mvn");
        maven.args(["-q", "-B", "-f"]).arg(java.join(SOURCES[0]));
        maven.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
        run(maven.arg(format!("-DoutputDirectory={}", home.display())));
    });
    let jars = format!("{}/*", jars.display());
    let classes = home(env!("CARGO_TARGET_TMPDIR"), "java", "classes", &SOURCES, |home| {
        let sources = SOURCES[1..].iter().map(|file| java.join(file));
        run(Command::new("javac").args(["-cp", &jars, "-d"]).arg(home).args(sources));
    });
    let mut command = Command::new("java");
    // Compiled once is enough for a minute.
    command.args(["-XX:TieredStopAtLevel=1", "-cp", &format!("{jars}:{}", classes.display()), "Wire"]);
    command
}

#[test]
fn java_does_what_its_users_do() {
    if has(&NEEDED) {
        session(program);
    }
}

#[test]
fn java_transforms_every_record_exactly_once() {
    if has(&NEEDED) {
        chain(program, 2);
    }
}
