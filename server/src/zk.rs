//! `ottla zk`: what lies in a running server's ZooKeeper, in the words of ZooKeeper's own shell.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use ottla_core::view::ZnodeDetail;
use ottla_core::zookeeper::Stat;

use crate::page;
use crate::say::say;

#[derive(Args, Clone, Debug)]
pub struct ZkArgs {
    #[command(subcommand)]
    command: Command,
    /// Where the server's page is
    #[arg(long, alias = "server", value_name = "URL", default_value = page::DEFAULT, global = true)]
    http: String,
    /// The stat too
    #[arg(short, long, global = true)]
    stat: bool,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    /// The children of a znode
    Ls { path: String },
    /// The data of a znode
    Get { path: String },
}

pub fn zk(args: &ZkArgs) -> anyhow::Result<()> {
    let (Command::Ls { path } | Command::Get { path }) = &args.command;
    let znode = ask(&args.http, path)?;
    match &args.command {
        Command::Ls { .. } => {
            let names = znode.children.iter().map(|child| child.name.as_str()).collect::<Vec<_>>();
            say(&format!("[{}]", names.join(", ")));
        }
        Command::Get { .. } => say(znode.data.as_deref().unwrap_or("null")),
    }
    if args.stat {
        say(stat(&znode.stat).trim_end());
    }
    Ok(())
}

fn ask(http: &str, path: &str) -> anyhow::Result<ZnodeDetail> {
    let path = path.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let answer = page::ask(http, "GET", &format!("/api/zk?path={path}"), "");
    match answer.with_context(|| format!("no server answers on {http}"))? {
        (200, body) => serde_json::from_str(&body).context("that is no page of Ottla's"),
        (_, body) => bail!("{body}"),
    }
}

/// As `zookeeper-shell` prints it.
fn stat(stat: &Stat) -> String {
    let lines = [
        ("cZxid", stat.czxid.to_string()),
        ("ctime", date(stat.ctime)),
        ("mZxid", stat.mzxid.to_string()),
        ("mtime", date(stat.mtime)),
        ("pZxid", stat.pzxid.to_string()),
        ("cversion", stat.cversion.to_string()),
        ("dataVersion", stat.version.to_string()),
        ("aclVersion", stat.aversion.to_string()),
        ("ephemeralOwner", stat.ephemeral_owner.to_string()),
        ("dataLength", stat.data_length.to_string()),
        ("numChildren", stat.num_children.to_string()),
    ];
    lines.into_iter().map(|(name, value)| format!("{name} = {value}\n")).collect()
}

/// Java's `Date.toString`, in UTC: `Tue Nov 14 22:13:20 UTC 2023`.
fn date(millis: i64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = millis.div_euclid(1_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days are counted from 1 March of year 0, in eras of 400 years, so that a leap day is the last of its year.
    let since_march = days + 719_468;
    let (era, day_of_era) = (since_march.div_euclid(146_097), since_march.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era * 400 + year_of_era + i64::from(month < 2);
    let (weekday, month) = (WEEKDAYS[days.rem_euclid(7) as usize], MONTHS[month as usize]);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_printed_as_java_prints_them() {
        assert_eq!(date(0), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(date(1_700_000_000_999), "Tue Nov 14 22:13:20 UTC 2023");
        assert_eq!(date(1_709_164_800_000), "Thu Feb 29 00:00:00 UTC 2024");
        assert_eq!(date(4_102_444_799_000), "Thu Dec 31 23:59:59 UTC 2099");
    }
}
