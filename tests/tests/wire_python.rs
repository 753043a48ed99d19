//! kafka-python, pure Python and from PyPI, against the server: what its users do first, in `wire/python/session.py`.

use std::path::{Path, PathBuf};
use std::process::Command;

use ottla_tests::server::Server;

/// A Python of the tests' own with the client in it, made once.
fn python() -> PathBuf {
    let requirements = concat!(env!("CARGO_MANIFEST_DIR"), "/wire/python/requirements.txt");
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let python = home.join("bin/python");
    let done = home.join("requirements.txt");
    let wanted = std::fs::read(requirements).expect("the repository is whole");
    if std::fs::read(&done).ok().as_ref() != Some(&wanted) {
        run(Command::new("python3").args(["-m", "venv"]).arg(&home));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r", requirements]));
        std::fs::write(done, wanted).expect("the target directory can be written");
    }
    python
}

fn run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|why| panic!("{command:?}: {why}; `make test` installs what it needs"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
}

#[test]
fn kafka_python_creates_writes_reads_seeks_and_deletes() {
    let python = python();
    let directory = tempfile::tempdir().expect("a temporary directory");
    for brokers in ["1", "3"] {
        let server = Server::start(&directory.path().join(brokers), &["--brokers", brokers]);
        let session = concat!(env!("CARGO_MANIFEST_DIR"), "/wire/python/session.py");
        run(Command::new(&python).arg(session).arg(server.bootstrap()));
    }
}
