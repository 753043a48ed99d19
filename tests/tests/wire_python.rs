//! Python's clients, from PyPI: kafka-python, aiokafka and confluent-kafka, with the programs of `wire/python`.

use std::process::Command;

use ottla_tests::chain::chain;
use ottla_tests::foreign::{has, home, run, session, sources};
use ottla_tests::server::Server;

/// A program of `wire/python`, with a Python of the tests' own that has the clients in it.
fn program(name: &str) -> Command {
    program_with(name, "venv", "requirements.txt")
}

/// A program of `wire/python`, with the Python called `python` that has what `requirements` names.
fn program_with(name: &str, python: &str, requirements: &str) -> Command {
    let home = home(env!("CARGO_TARGET_TMPDIR"), "python", python, &[requirements], |home| {
        run(Command::new("python3").args(["-m", "venv"]).arg(home));
        let install = ["-m", "pip", "install", "--quiet", "--no-deps", "-r"];
        run(Command::new(home.join("bin/python")).args(install).arg(sources("python").join(requirements)));
    });
    let mut command = Command::new(home.join("bin/python"));
    command.arg(sources("python").join(name));
    command
}

#[test]
fn kafka_python_creates_writes_reads_seeks_and_deletes() {
    if !has(&["python3"]) {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    for brokers in ["1", "3"] {
        let server = Server::start(&directory.path().join(brokers), &["--brokers", brokers]);
        run(program("session.py").arg(server.bootstrap()));
    }
}

#[test]
fn confluent_kafka_does_what_its_users_do() {
    if has(&["python3"]) {
        session(|| program("confluent.py"));
    }
}

/// With librdkafka 2.8: since it forgets brokers that the metadata no longer names, one that waits for such a group
/// coordinator in `send_offsets_to_transaction` waits for ever (confluentinc/librdkafka#5511, open in 2.16).
#[test]
fn confluent_kafka_transforms_every_record_exactly_once() {
    if has(&["python3"]) {
        chain(|| program_with("confluent.py", "venv-chain", "requirements-chain.txt"), 2);
    }
}

#[test]
fn aiokafka_does_what_its_users_do() {
    if has(&["python3"]) {
        session(|| program("aio.py"));
    }
}

#[test]
fn aiokafka_transforms_every_record_exactly_once() {
    if has(&["python3"]) {
        chain(|| program("aio.py"), 1);
    }
}
