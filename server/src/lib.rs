//! `ottla`: a server that real Kafka clients use, around the core that also runs in the browser; and the core's own clients,
//! for programs and against any Kafka. It knows no rule of Kafka's.
//!
//! `serve.rs` brings brokers up and down | `config.rs` flags | `host.rs` one broker's machine, its process killed and
//! started | `driver.rs` a broker's thread | `listen.rs` its port, `crowd.rs` who is let in, `descriptors.rs` while there is room | `connection.rs` a client's
//! connection, with `frame.rs`, `buffer.rs` on the way in and `splice.rs` on the way out | `exchange/` what brokers say to
//! each other, by `link.rs` | `peer.rs` what they fetch from each other, with `gather.rs` on the way out, and `sieve.rs` under both | `zookeeper/`
//! ZooKeeper's thread and files, `zk.rs` a look into it | `storage/` the data directory | `fault.rs` what a line of a
//! scenario does here | `live/` what the page sees | `http/` the page, the live view, actions, metrics | `metrics.rs`
//! counters | `alloc.rs` memory that nobody touches | `run.rs` scenarios, headless, `search.rs` with many seeds | `act.rs`
//! the same lines, sent to a server | `client/` producers and consumers for programs, `produce.rs` and `consume.rs` for a
//! terminal, with `lines.rs` | `say.rs` what all of them say there

mod act;
pub mod alloc;
mod buffer;
pub mod client;
mod config;
mod connection;
mod consume;
mod crowd;
mod descriptors;
mod driver;
mod exchange;
mod fault;
mod frame;
mod gather;
mod host;
mod http;
mod lines;
mod link;
mod listen;
mod live;
mod metrics;
mod page;
mod peer;
mod produce;
mod run;
mod say;
mod search;
mod serve;
mod sieve;
mod splice;
mod storage;
mod zk;
mod zookeeper;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use say::complain;

/// Kafka that you can open up.
#[derive(Parser)]
#[command(name = "ottla", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run brokers for Kafka clients, and the page that shows them
    Serve(config::ServeArgs),
    /// Play a scenario, headless, and say whether its expectations held
    Run(run::RunArgs),
    /// Play a scenario with many seeds, and shrink what breaks an invariant to the smallest scenario that does
    Search(search::SearchArgs),
    /// Do lines of a scenario on a server that runs: ottla do 'kill broker-2'
    Do(act::DoArgs),
    /// Look into the ZooKeeper of a server that runs
    Zk(zk::ZkArgs),
    /// Send each line of the input as a record, to any Kafka
    Produce(produce::ProduceArgs),
    /// Print records of a topic, each as a line, from any Kafka
    Consume(consume::ConsumeArgs),
}

/// The program `ottla`.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = match cli.command {
        Command::Produce(_) | Command::Consume(_) => "warn",
        _ => "info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // Those go to stderr as well, and panic where it is gone.
        .log_internal_errors(false)
        .init();
    let result = match cli.command {
        Command::Serve(args) => serve::serve(args),
        Command::Run(args) => return run::run(args),
        Command::Search(args) => return search::search(args),
        Command::Do(args) => return act::act(args),
        Command::Zk(args) => zk::zk(&args),
        Command::Produce(args) => return produce::produce(args),
        Command::Consume(args) => return consume::consume(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain!("ottla: {error:#}");
            ExitCode::FAILURE
        }
    }
}
