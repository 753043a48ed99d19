//! Holds the scripted session with two brokers and prints where they answer differently:
//!
//! ```sh
//! cargo run -p ottla-tests --example compare -- 127.0.0.1:9092 127.0.0.1:19092
//! ```
//!
//! Both must be fresh, with one broker each. Exit status 1 where anything differs.

use std::process::ExitCode;

use ottla_tests::{session, wire};

fn main() -> ExitCode {
    let addresses: Vec<String> = std::env::args().skip(1).collect();
    let [left, right] = &addresses[..] else {
        eprintln!("usage: compare HOST:PORT HOST:PORT");
        return ExitCode::from(2);
    };
    let script = session::script();
    let mut different = 0;
    for ((name, left), (_, right)) in wire::hold(left, &script).into_iter().zip(wire::hold(right, &script)) {
        let (left, right) = (format!("{left:#?}"), format!("{right:#?}"));
        if left == right {
            continue;
        }
        different += 1;
        println!("=== {name}");
        let (left, right): (Vec<&str>, Vec<&str>) = (left.lines().collect(), right.lines().collect());
        for line in left.iter().filter(|line| !right.contains(line)) {
            println!("  < {}", line.trim());
        }
        for line in right.iter().filter(|line| !left.contains(line)) {
            println!("  > {}", line.trim());
        }
    }
    println!("{different} of {} exchanges differ", script.len());
    ExitCode::from(u8::from(different > 0))
}
