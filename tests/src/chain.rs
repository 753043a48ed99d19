//! A consume-transform-produce chain of real clients, while brokers and the clients themselves are killed: exactly once.
//!
//! Workers read one topic as a group and write another, ten records a transaction. Each prints `open` when its transaction
//! has everything (the group's offsets too, where the client sends them apart from the commit) and waits for a line: `commit`, `abort`, or its end by `kill -9`. By how many
//! have opened, the next thing is done to them: the same on a slow machine and a fast one. A reader of committed records tells
//! when all is through; afterwards a fresh one counts.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::foreign::{QUICK_GROUPS, run};
use crate::page::Page;
use crate::server::Server;

const RECORDS: usize = 480;
const PARTITIONS: &str = "4";
/// How long nothing may happen at most.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is done, when so many transactions have opened.
enum Blow {
    To(&'static str),
    /// `kill -9`, with its transaction open; it is started again.
    Worker,
}

/// What a process said; the reader is the last of them.
struct Said {
    who: usize,
    line: Option<String>,
}

/// A running program; killed when it is dropped.
struct Process {
    child: Child,
    input: ChildStdin,
}

impl Process {
    fn start(mut command: Command, who: usize, tell: Sender<Said>) -> Process {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|why| panic!("{command:?}: {why}"));
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = tell.send(Said { who, line: Some(line) });
            }
            let _ = tell.send(Said { who, line: None });
        });
        Process { child, input }
    }

    fn say(&mut self, word: &str) {
        writeln!(self.input, "{word}").and_then(|()| self.input.flush()).expect("it listens");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets `workers` of the client that `program` starts do the work. Clients that cannot tell a broker their generation in the
/// group (before KIP-447) are safe with one worker only.
pub fn chain(program: impl Fn() -> Command, workers: usize) {
    let data = tempfile::tempdir().expect("a temporary directory");
    let flags = ["--brokers", "3", "--set", "zookeeper.session.timeout.ms=2000"];
    let server = Server::start(data.path(), &[&flags[..], &QUICK_GROUPS[..]].concat());
    // A client that lost the one broker it knew would be lost too.
    let bootstrap = server.brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let command = |arguments: &[&str]| {
        let mut command = program();
        command.args(arguments);
        command
    };
    run(&mut command(&["fill", &bootstrap, "from", "to", PARTITIONS, &RECORDS.to_string()]));
    let (tell, said) = channel();
    let start = |who: usize| {
        let id = format!("worker-{who}");
        Process::start(command(&["transform", &bootstrap, "from", "to", &id]), who, tell.clone())
    };
    let mut working: Vec<Process> = (0..workers).map(start).collect();
    let _reader = Process::start(command(&["read", &bootstrap, "to"]), workers, tell.clone());
    let mut blows = VecDeque::from([
        (4, Blow::To("kill broker-2")),
        (10, Blow::To("start broker-2")),
        (15, Blow::Worker),
        (22, Blow::To("kill broker-3")),
        (28, Blow::Worker),
        (33, Blow::To("start broker-3")),
        (38, Blow::To("kill broker-1")),
        (43, Blow::To("start broker-1")),
    ]);
    let (mut opened, mut through, mut killed) = (0, 0, Vec::new());
    while through < RECORDS {
        let Ok(Said { who, line }) = said.recv_timeout(PATIENCE) else {
            panic!("{opened} transactions, {through} records came through")
        };
        match line.as_deref() {
            Some("open") => {
                opened += 1;
                let blow = blows.pop_front_if(|(after, _)| *after == opened).map(|(_, blow)| blow);
                if let Some(Blow::To(line)) = blow {
                    if line.starts_with("kill") {
                        in_sync(&server);
                    }
                    server.act(line);
                }
                if let Some(Blow::Worker) = blow {
                    killed.push(who);
                    working[who] = start(who);
                } else {
                    // Every fifth changes its mind.
                    working[who].say(if opened % 5 == 0 { "abort" } else { "commit" });
                }
            }
            Some("end") if who == workers => {}
            Some(_) if who == workers => through += 1,
            Some(line) => eprintln!("worker-{who}: {line}"),
            // The one that was killed.
            None if killed.contains(&who) => killed.retain(|one| *one != who),
            None => panic!("worker-{who} has ended after {opened} transactions, {through} records came through"),
        }
    }
    assert!(blows.is_empty(), "not all was done to them");
    drop(working);
    // The last transaction's marker may reach the records before it reaches the group's offsets.
    let began = Instant::now();
    loop {
        let committed = run(&mut command(&["committed", &bootstrap, "chain", "from"]));
        if committed.trim() == RECORDS.to_string() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "the group's offsets, added up, are {}", committed.trim());
    }
    let mut times = BTreeMap::new();
    for value in read_to_the_end(command(&["read", &bootstrap, "to"])) {
        *times.entry(value).or_insert(0) += 1;
    }
    let expected = (0..RECORDS).map(|number| (number.to_string(), 1)).collect();
    assert_eq!(times, expected, "how often each came through");
}

fn read_to_the_end(command: Command) -> Vec<String> {
    let (tell, said): (_, Receiver<Said>) = channel();
    let _reader = Process::start(command, 0, tell);
    let mut values = Vec::new();
    loop {
        match said.recv_timeout(PATIENCE).expect("it reads on").line {
            Some(line) if line == "end" => return values,
            Some(line) => values.push(line),
            None => panic!("it ended before the end, after {} values", values.len()),
        }
    }
}

/// Waits until every replica is in sync, so that the next broker to die is not the last that has something.
fn in_sync(server: &Server) {
    Page::open(server).wait_for(|view| {
        let wanted: u32 = view.topics.iter().map(|topic| topic.partitions * topic.replication_factor).sum();
        let replicas = view.brokers.iter().flat_map(|broker| &broker.replicas);
        replicas.filter(|replica| replica.in_sync).count() == wanted as usize
    });
}
