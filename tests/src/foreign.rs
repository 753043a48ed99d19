//! Clients of other languages: their runtimes, what is installed of them once, and their programs.
//!
//! Each client has one program, `wire/LANG`, that knows the same five commands:
//!
//! | command | what it does |
//! | --- | --- |
//! | `session BOOTSTRAP` | what its users do, step by step: prints `held: …` for each step that held, and fails at the first that did not |
//! | `fill BOOTSTRAP FROM TO PARTITIONS COUNT` | creates both topics, and writes the values 0 to COUNT into the first |
//! | `transform BOOTSTRAP FROM TO ID` | a worker of a consume-transform-produce [`chain`](crate::chain) |
//! | `read BOOTSTRAP TOPIC` | prints every committed value, and `end` when it has come to what was the end |
//! | `committed BOOTSTRAP GROUP TOPIC` | prints the sum of the group's committed offsets |

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::server::Server;

/// What .ci/run sets: there a test that cannot run has failed.
const CI: &str = "OTTLA_CI";

/// Says loudly what is missing; gives whether all of it is there.
pub fn has(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &&&str| std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    let missing: Vec<_> = programs.iter().filter(|program| !is_there(program)).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(
        std::env::var_os(CI).is_none(),
        "{missing:?} is missing, and `make test-packages` should have installed it"
    );
    eprintln!("SKIPPED: {missing:?} is missing; `make test-packages` installs it");
    false
}

/// `wire/LANG` of the repository.
pub fn sources(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("wire").join(language)
}

/// The directory `under/LANG/what` for what `install` puts there, done anew when one of `files` of `wire/LANG` has changed.
pub fn home(under: &str, language: &str, what: &str, files: &[&str], install: impl FnOnce(&Path)) -> PathBuf {
    // Tests of one binary share what is installed.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let home = Path::new(under).join(language).join(what);
    let done = home.with_extension("installed");
    let read = |file: &&str| std::fs::read(sources(language).join(file)).expect("the repository is whole");
    let wanted: Vec<u8> = files.iter().flat_map(read).collect();
    if std::fs::read(&done).ok().as_ref() != Some(&wanted) {
        let _ = std::fs::remove_dir_all(&home);
        std::fs::create_dir_all(&home).expect("the target directory can be written");
        install(&home);
        std::fs::write(done, wanted).expect("the target directory can be written");
    }
    home
}

/// Runs it to its end, which must be a good one; gives what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|why| panic!("{command:?}: {why}; `make test-packages` installs what it needs"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    out.into_owned()
}

/// Groups whose rebalances do not take their time; everything else is Kafka's default.
pub const QUICK_GROUPS: [&str; 6] = [
    "--set",
    "group.initial.rebalance.delay.ms=0",
    "--set",
    "group.consumer.heartbeat.interval.ms=500",
    "--set",
    "group.consumer.min.heartbeat.interval.ms=500",
];

/// The client's session with three brokers.
pub fn session(program: impl Fn() -> Command) {
    let data = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(data.path(), &[&["--brokers", "3"], &QUICK_GROUPS[..]].concat());
    print!("{}", run(program().arg("session").arg(server.bootstrap())));
}
