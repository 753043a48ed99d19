//! `ottla produce`: sends each line of its input as a record.
//!
//! Exit code 0: every record is acknowledged. 1: one is not. 2: what was asked for makes no sense.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::client::{Delivery, Exception, Producer};
use crate::lines::{OF_READER, Reader, config, property, separated, sorted};
use crate::say::complain;

#[derive(Args)]
pub struct ProduceArgs {
    /// Brokers to begin with; others are learnt from them
    #[arg(long, value_name = "HOST:PORT,…")]
    bootstrap_server: String,
    /// Where the records go
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// A producer setting, by Kafka's name; may be given often
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = property,
          visible_aliases = ["command-property", "producer-property"])]
    properties: Vec<(String, String)>,
    /// A file of producer settings; flags have the last word
    #[arg(long, value_name = "FILE", visible_alias = "producer.config")]
    command_config: Option<PathBuf>,
    /// Each line is a key, this, and a value
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// How lines are read, as Kafka's console producer does: parse.key, key.separator, parse.headers, headers.delimiter,
    /// headers.separator, headers.key.separator, ignore.error, null.marker
    #[arg(long = "reader-property", value_name = "KEY=VALUE", value_parser = property)]
    reader_properties: Vec<(String, String)>,
    /// Wait for each record before the next one is read
    #[arg(long)]
    sync: bool,
}

pub fn produce(args: ProduceArgs) -> ExitCode {
    let (producer, reader) = match open(&args) {
        Ok(opened) => opened,
        Err(error) => {
            complain!("ottla: {error}");
            return ExitCode::from(2);
        }
    };
    let sent = send(&args, &producer, &reader, &mut std::io::stdin().lock());
    producer.close();
    match sent {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            complain!("ottla: {failed} records were not sent");
            ExitCode::FAILURE
        }
        Err(error) => {
            complain!("ottla: {error}");
            ExitCode::FAILURE
        }
    }
}

fn open(args: &ProduceArgs) -> Result<(Producer, Reader), String> {
    let [of_lines, settings] = sorted(&args.properties, OF_READER);
    let of_lines = [of_lines, args.reader_properties.clone()].concat();
    let reader = Reader::new(&args.topic, &separated(&of_lines, "parse.key", args.key_separator.as_ref()))?;
    let config = config(args.command_config.as_deref(), &settings, &args.bootstrap_server, "console-producer")?;
    if config.get("transactional.id").is_some() {
        return Err("lines are sent without a transaction: transactional.id is for programs".to_owned());
    }
    let producer = Producer::new(config).map_err(|error| error.message)?;
    Ok((producer, reader))
}

/// Gives how many records failed.
fn send(args: &ProduceArgs, producer: &Producer, reader: &Reader, input: &mut impl BufRead) -> Result<u64, String> {
    let (mut line, mut number, mut failed) = (Vec::new(), 0, 0);
    // In the order of sending, which is about that of their ends.
    let mut under_way: VecDeque<(u64, Delivery)> = VecDeque::new();
    let mut tell = |number: u64, error: &Exception| {
        failed += 1;
        complain!("ottla: line {number} is not sent to topic {}: {error}", args.topic);
    };
    let mut outcome = Ok(());
    loop {
        line.clear();
        match input.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                outcome = Err(format!("cannot read the input: {error}"));
                break;
            }
        }
        number += 1;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let record = match reader.read(text, number) {
            Ok(record) => record,
            Err(error) => {
                outcome = Err(error);
                break;
            }
        };
        let delivery = producer.send(record);
        if args.sync {
            if let Err(error) = delivery.wait() {
                tell(number, &error);
            }
            continue;
        }
        under_way.push_back((number, delivery));
        while let Some((number, delivery)) = under_way.front_mut()
            && let Some(outcome) = delivery.try_wait()
        {
            if let Err(error) = outcome {
                tell(*number, &error);
            }
            under_way.pop_front();
        }
    }
    let _ = producer.flush();
    for (number, delivery) in under_way {
        if let Err(error) = delivery.wait() {
            tell(number, &error);
        }
    }
    outcome.map(|()| failed)
}
