//! `ottla consume`: prints records of a topic, each as a line. On stdout there is nothing else.
//!
//! Exit code 0: it read what it was to read, or was told to stop. 1: it could not go on. 2: what was asked for makes no sense.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::client::{Consumer, ConsumerRecord, Exception, partition};
use crate::lines::{Formatter, OF_FORMATTER, config, property, separated, sorted};
use crate::say::complain;

/// How often it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Args)]
pub struct ConsumeArgs {
    /// Brokers to begin with; others are learnt from them
    #[arg(long, value_name = "HOST:PORT,…")]
    bootstrap_server: String,
    /// What is read
    #[arg(long, value_name = "TOPIC", required_unless_present = "include")]
    topic: Option<String>,
    /// A regular expression: all topics whose whole names match
    #[arg(long, value_name = "PATTERN", conflicts_with = "topic")]
    include: Option<String>,
    /// Share the topic with the other members of that group, and go on where it is; without one, all partitions are read
    #[arg(long, value_name = "GROUP", conflicts_with = "partition")]
    group: Option<String>,
    /// Begin with the earliest record, where the group has not begun
    #[arg(long)]
    from_beginning: bool,
    /// Read that partition alone
    #[arg(long, value_name = "N", conflicts_with = "include", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Begin at that offset, at the earliest or at the latest
    #[arg(long, value_name = "OFFSET", requires = "partition", conflicts_with = "from_beginning", value_parser = offset)]
    offset: Option<Offset>,
    /// Stop after so many records
    #[arg(long, value_name = "N")]
    max_messages: Option<u64>,
    /// Stop when no record has come for so long
    #[arg(long, value_name = "MILLISECONDS")]
    timeout_ms: Option<u64>,
    /// read_committed: nothing of transactions that are open or aborted
    #[arg(long, value_name = "LEVEL", value_parser = ["read_uncommitted", "read_committed"])]
    isolation_level: Option<String>,
    /// A consumer setting, by Kafka's name; may be given often
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = property,
          visible_aliases = ["command-property", "consumer-property"])]
    properties: Vec<(String, String)>,
    /// A file of consumer settings; flags have the last word
    #[arg(long, value_name = "FILE", visible_alias = "consumer.config")]
    command_config: Option<PathBuf>,
    /// Print each record's key, this, and its value
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// How records are printed, as Kafka's console consumer does: print.timestamp, print.partition, print.offset,
    /// print.delivery, print.epoch, print.headers, print.key, print.value, key.separator, line.separator, headers.separator, null.literal,
    /// headers.deserializer, key.deserializer, value.deserializer
    #[arg(long = "formatter-property", value_name = "KEY=VALUE", value_parser = property)]
    formatter_properties: Vec<(String, String)>,
    /// Say of a message whose bytes a deserializer does not take what is wrong with them, and go on, instead of stopping
    #[arg(long)]
    skip_message_on_error: bool,
}

#[derive(Clone, Copy)]
enum Offset {
    Earliest,
    Latest,
    At(i64),
}

fn offset(text: &str) -> Result<Offset, String> {
    match text {
        "earliest" => Ok(Offset::Earliest),
        "latest" => Ok(Offset::Latest),
        number => match number.parse() {
            Ok(number @ 0..) => Ok(Offset::At(number)),
            _ => Err("expected earliest, latest, or a number that is not negative".to_owned()),
        },
    }
}

pub fn consume(args: ConsumeArgs) -> ExitCode {
    let (mut consumer, formatter) = match open(&args) {
        Ok(opened) => opened,
        Err(error) => {
            complain!("ottla: {error}");
            return ExitCode::from(2);
        }
    };
    let (read, ended) = read(&args, &mut consumer, &formatter, &stop());
    consumer.close();
    complain!("Processed a total of {read} messages");
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain!("ottla: {error}");
            ExitCode::FAILURE
        }
    }
}

fn open(args: &ConsumeArgs) -> Result<(Consumer, Formatter), String> {
    let [of_lines, settings] = sorted(&args.properties, OF_FORMATTER);
    let of_lines = [of_lines, args.formatter_properties.clone()].concat();
    let formatter = Formatter::new(&separated(&of_lines, "print.key", args.key_separator.as_ref()))?;
    let mut config = config(args.command_config.as_deref(), &settings, &args.bootstrap_server, "console-consumer")?;
    let reset = match args.offset {
        _ if args.from_beginning => Some("earliest"),
        Some(Offset::Earliest) => Some("earliest"),
        Some(Offset::Latest) => Some("latest"),
        Some(Offset::At(_)) | None => None,
    };
    if let Some(reset) = reset {
        if let Some(other) = config.get("auto.offset.reset").filter(|other| *other != reset) {
            let flag = if args.from_beginning { "--from-beginning" } else { "--offset" };
            return Err(format!(
                "Can't simultaneously specify {flag} and 'auto.offset.reset={other}', please remove one option"
            ));
        }
        config = config.set("auto.offset.reset", reset);
    }
    if let Some(group) = &args.group {
        if config.get("group.id").is_some_and(|other| other != group) {
            return Err(
                "The group ids provided in different places (directly using '--group' or via '--property') do \
                        not match"
                    .to_owned(),
            );
        }
        config = config.set("group.id", group);
    }
    if let Some(level) = &args.isolation_level {
        config = config.set("isolation.level", level);
    }
    let words = |error: Exception| error.message;
    let mut consumer = Consumer::new(config).map_err(words)?;
    match (&args.topic, &args.include, args.partition) {
        (_, Some(pattern), _) => consumer.subscribe_pattern(pattern),
        (Some(topic), _, Some(number)) => {
            let partition = partition(topic, number);
            consumer.assign(std::slice::from_ref(&partition)).and_then(|()| match args.offset {
                Some(Offset::At(offset)) => consumer.seek(&partition, offset),
                _ => Ok(()),
            })
        }
        (Some(topic), ..) if consumer.has_group() => consumer.subscribe(&[topic]),
        (topic, ..) => consumer.assign_topics(&[topic.as_deref().unwrap_or_default()]),
    }
    .map_err(words)?;
    Ok((consumer, formatter))
}

/// Gives how many records were printed, and whether it could go on.
fn read(
    args: &ConsumeArgs,
    consumer: &mut Consumer,
    formatter: &Formatter,
    stop: &AtomicBool,
) -> (u64, Result<(), String>) {
    let patience = args.timeout_ms.map(Duration::from_millis);
    let (mut read, mut last) = (0, Instant::now());
    let (mut out, mut line) = (BufWriter::new(io::stdout().lock()), Vec::new());
    loop {
        let left = patience.map_or(LOOK, |patience| patience.saturating_sub(last.elapsed()).min(LOOK));
        let over = args.max_messages.is_some_and(|most| read >= most) || left.is_zero();
        if over || stop.load(Ordering::Relaxed) {
            return (read, Ok(()));
        }
        let records = match consumer.poll(left) {
            Ok(records) => records,
            Err(error) => return (read, Err(error.to_string())),
        };
        if !records.is_empty() {
            last = Instant::now();
        }
        let wanted = args.max_messages.map_or(u64::MAX, |most| most - read);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(records.len());
        let mut printed = Ok(());
        let mut taken = 0;
        for record in &records[..wanted] {
            taken += 1;
            line.clear();
            printed = match formatter.print(record, &mut line) {
                Ok(()) => out.write_all(&line),
                Err(error) if args.skip_message_on_error => {
                    complain!("Error processing message, skipping this message: {error}");
                    continue;
                }
                Err(error) => Err(io::Error::other(format!(
                    "Error processing message, terminating consumer process: {error} (topic {}, partition {}, offset {})",
                    record.topic, record.partition, record.offset
                ))),
            };
            if printed.is_err() {
                break;
            }
        }
        read += taken as u64;
        give_back(consumer, &records[taken..]);
        match printed.and_then(|()| out.flush()) {
            Ok(()) => {}
            // Who reads has enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return (read, Ok(())),
            Err(error) => return (read, Err(error.to_string())),
        }
    }
}

/// What was not printed is not read: the group goes on with it.
fn give_back(consumer: &mut Consumer, records: &[ConsumerRecord]) {
    for record in records.iter().rev() {
        // Whose it is no more is not this member's to say.
        let _ = consumer.seek(&partition(&record.topic, record.partition), record.offset);
    }
}

/// Becomes true when somebody wants it to stop (SIGINT, SIGTERM).
fn stop() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                interrupted = tokio::signal::ctrl_c() => interrupted?,
                _ = terminate.recv() => {}
            }
            told.store(true, Ordering::Relaxed);
            io::Result::Ok(())
        })
    });
    stop
}
