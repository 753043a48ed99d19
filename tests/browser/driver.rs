//! A browser, driven over the WebDriver protocol: `chromedriver` and a headless Chromium, both stopped at the end.

use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything on the page may take; the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

type Words = Lines<BufReader<ChildStdout>>;

/// Starts chromedriver and waits for its port.
fn chromedriver() -> io::Result<(Child, Words, u16)> {
    let mut driver =
        Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines();
    let port = |line: String| line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok();
    match lines.by_ref().map_while(Result::ok).find_map(port) {
        Some(port) => Ok((driver, lines, port)),
        None => Err(io::Error::other(format!("chromedriver says no port and ends with {}", driver.wait()?))),
    }
}

/// One window of one browser.
pub struct Browser {
    driver: Child,
    /// Kept open: it goes on talking.
    _words: Words,
    port: u16,
    session: String,
}

impl Browser {
    /// `None` where no `chromedriver` is installed.
    pub fn start(width: u32, height: u32) -> Option<Browser> {
        let mut tries = 0;
        let (driver, lines, port) = loop {
            match chromedriver() {
                Ok(started) => break started,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
                // The port that is free at one of its addresses may be in use at the other.
                Err(_) if tries < 5 => tries += 1,
                Err(error) => panic!("{error}"),
            }
        };
        let mut browser = Browser { driver, _words: lines, port, session: String::new() };
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--force-prefers-reduced-motion=0",
            &format!("--window-size={width},{height}"),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = browser.call("POST", "/session", &wanted);
        browser.session = format!("/session/{}", session["sessionId"].as_str().expect("a session"));
        Some(browser)
    }

    pub fn open(&self, url: &str) {
        self.session("POST", "/url", &json!({ "url": url }));
    }

    /// Leaves the page for a fresh tab of the same browser.
    pub fn fresh_tab(&self) {
        let tab = self.session("POST", "/window/new", &json!({ "type": "tab" }));
        self.session("POST", "/window", &json!({ "handle": tab["handle"] }));
    }

    /// What a function's body returns.
    pub fn run(&self, script: &str) -> Value {
        self.session("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Runs `script` until it returns something true, and gives that.
    pub fn wait(&self, what: &str, script: &str) -> Value {
        let began = Instant::now();
        loop {
            let value = self.run(script);
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return value;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain for {what}: {script}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A real click in the middle of what `selector` finds.
    pub fn click(&self, selector: &str) {
        let element = self.wait(selector, &format!("return document.querySelector({})", json!(selector)));
        let element = element.as_object().and_then(|element| element.values().next()).and_then(Value::as_str);
        let element = element.expect("an element's id").to_string();
        self.session("POST", &format!("/element/{element}/click"), &json!({}));
    }

    /// A real click at a place in the window.
    pub fn click_at(&self, x: f64, y: f64) {
        let at = |kind: &str| json!({ "type": kind, "x": x as i64, "y": y as i64, "button": 0, "duration": 0 });
        let actions = [at("pointerMove"), at("pointerDown"), at("pointerUp")];
        let mouse =
            json!({ "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": actions });
        self.session("POST", "/actions", &json!({ "actions": [mouse] }));
    }

    pub fn key(&self, key: &str) {
        let actions = [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        self.session("POST", "/actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] }));
    }

    /// Puts a value into a field as typing would.
    pub fn fill(&self, selector: &str, value: &str) {
        let script = format!(
            "const field = document.querySelector({}); if (!field) return false; field.value = {};
             field.dispatchEvent(new Event('input', {{bubbles: true}})); field.dispatchEvent(new Event('change', {{bubbles: true}})); return true",
            json!(selector),
            json!(value)
        );
        self.wait(selector, &script);
    }

    /// The page's console since the last time it was asked: warnings and errors.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.session("POST", "/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().cloned().unwrap_or_default();
        let bad = entries.iter().filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")));
        bad.map(|entry| entry["message"].as_str().unwrap_or_default().to_string()).collect()
    }

    fn session(&self, method: &str, path: &str, body: &Value) -> Value {
        self.call(method, &format!("{}{path}", self.session), body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("chromedriver listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("chromedriver reads");
        // It keeps connections open whatever it is asked, so its length says where an answer ends.
        stream.set_read_timeout(Some(2 * PATIENCE)).expect("a time-out");
        let mut reader = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).expect("chromedriver answers") > 0 {
            let line = head.lines().last().unwrap_or_default().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a whole answer");
        let body = String::from_utf8(body).expect("JSON is UTF-8");
        let body: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {}", body["value"]["message"]);
        body["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.session("DELETE", "", &json!({}));
        }
        // It ends its Chromium with itself.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
