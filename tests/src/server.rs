//! The program itself, run by a test: on free ports, in a directory of the test's own.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What to wait for anything at most: a loaded machine is slow, a test that hangs is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, of the same profile as the test; built here if it is older than its sources.
pub static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| program(None));

/// The program as it is released, for what takes long: `make test` has built it already and says where.
pub static RELEASED: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::var_os("OTTLA_RELEASED").map_or_else(|| program(Some("release")), PathBuf::from));

fn program(profile: Option<&str>) -> PathBuf {
    if let Some(given) = std::env::var_os("OTTLA") {
        return given.into();
    }
    let test = std::env::current_exe().expect("a test has a path");
    let own = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let home = profile.map_or(own.to_owned(), |name| own.with_file_name(name));
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--locked", "--package", "ottla-server"]);
    if home.ends_with("release") {
        build.arg("--release");
    }
    let built = build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).status().expect("cargo runs");
    assert!(built.success(), "ottla-server does not build");
    home.join("ottla")
}

/// A running server; killed when it is dropped.
pub struct Server {
    process: Child,
    pub page: SocketAddr,
    pub brokers: Vec<SocketAddr>,
    pub zookeeper: SocketAddr,
    /// What it said on stderr so far.
    log: Arc<Mutex<String>>,
    more_log: Receiver<()>,
}

impl Server {
    /// Starts one, with free ports unless a flag says otherwise, and waits until it says where it listens.
    pub fn start(data: &Path, flags: &[&str]) -> Server {
        let data = data.to_str().expect("a plain path");
        Self::spawn(command(&[&["--data", data], flags].concat()))
    }

    /// One without `--data`, for which `temporary` is the system's temporary directory.
    pub fn start_without_data(temporary: &Path) -> Server {
        let mut command = command(&[]);
        command.env("TMPDIR", temporary);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Server {
        let mut process = command.spawn().expect("the program runs");
        let log = Arc::new(Mutex::new(String::new()));
        let (tell, more_log) = channel();
        let (stderr, kept) = (process.stderr.take().expect("piped"), log.clone());
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
                drop(log);
                let _ = tell.send(());
            }
        });
        let mut stdout = BufReader::new(process.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it says where it listens");
        assert!(!line.is_empty(), "it ended at once: {}", log.lock().unwrap());
        let word = |after: &str| {
            let rest = line.split_once(after).unwrap_or_else(|| panic!("no {after:?} in {line:?}")).1;
            rest.split([' ', '\n']).next().expect("a word").trim_end_matches(',').to_owned()
        };
        let page = word("page on http://").parse().expect("an address");
        let brokers = word("Kafka on ").split(',').map(|address| address.parse().expect("an address")).collect();
        let zookeeper = word("ZooKeeper on ").parse().expect("an address");
        Server { process, page, brokers, zookeeper, log, more_log }
    }

    /// `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.brokers[0].to_string()
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until its log has a line with `text`.
    pub fn wait_for_log(&self, text: &str) {
        let begin = Instant::now();
        while !self.log.lock().unwrap().contains(text) {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            if self.more_log.recv_timeout(left).is_err() && !self.log.lock().unwrap().contains(text) {
                panic!("no {text:?} in its log:\n{}", self.log.lock().unwrap());
            }
        }
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    /// SIGTERM; gives how it ended.
    pub fn terminate(self) -> ExitStatus {
        let sent = Command::new("kill").arg(self.process.id().to_string()).status().expect("kill runs");
        assert!(sent.success());
        self.ended()
    }

    /// Waits until it ends of itself; gives how.
    pub fn ended(mut self) -> ExitStatus {
        self.process.wait().expect("it ends")
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.brokers[0])
    }

    /// Does lines of a scenario on it, all of which it must be able to do; gives the objects that it answers.
    pub fn act(&self, lines: &str) -> Vec<serde_json::Value> {
        let answer = self.http("POST", "/api/actions", "", lines);
        assert!(answer.starts_with("HTTP/1.1 200"), "{lines}: {answer}");
        objects(&answer)
    }

    /// A request to its page; gives status line, headers and body.
    pub fn http(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        use std::io::Write;
        let mut stream = connect(self.page);
        let length = body.len();
        let host = if headers.contains("Host:") { String::new() } else { format!("Host: {}\r\n", self.page) };
        let plain = method == "POST" && !headers.contains("Content-Type:");
        let kind = if plain { "Content-Type: text/plain\r\n" } else { "" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\n{host}{headers}{kind}Content-Length: {length}\r\nConnection: close\r\n"
        );
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).expect("it takes a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }
}

/// The JSON objects of an answer, one a line.
pub fn objects(answer: &str) -> Vec<serde_json::Value> {
    let body = answer.split_once("\r\n\r\n").expect("headers and a body").1;
    body.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{answer}"))).collect()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket option");
    stream
}

fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(&*PROGRAM);
    command.arg("serve").args(["--http-port", "0"]).args(flags);
    if !flags.contains(&"--kafka-port") {
        command.args(["--kafka-port", "0"]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("NO_COLOR", "1");
    command
}

/// Runs one that is expected to refuse; gives how it ended and what it said on stderr.
pub fn refused(flags: &[&str]) -> (ExitStatus, String) {
    let (status, told, _) = output(flags);
    (status, told)
}

/// Runs one that is expected to end of itself; gives how it ended and what it said on stderr and on stdout.
pub fn output(flags: &[&str]) -> (ExitStatus, String, String) {
    let output = command(flags).output().expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status, text(output.stderr), text(output.stdout))
}
