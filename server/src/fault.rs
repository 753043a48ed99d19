//! What a line of a scenario does to this server: topics and records as a client of it, and what breaks or is put right,
//! on its brokers.
//!
//! 1. A text is taken whole or not at all: one wrong line, and nothing of it is done.
//! 2. The lines of a text are done in order, each when the one before is.
//! 3. One fault at a time, whoever asks; a record that waits for its broker keeps no fault waiting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use ottla_core::id::BrokerId;
use ottla_core::sim::scenario::{Action, Fault, Link, ParseError, Who, parse};
use ottla_core::view::Level;

use crate::exchange::Node;
use crate::host::{Ailments, Host};
use crate::live::hand;
use crate::serve::Server;

/// One line of a text.
pub struct Line {
    /// From 1.
    pub number: usize,
    pub action: Action,
}

/// What became of a line: what was done, or why it was not.
pub type Outcome = Result<String, String>;

/// The lines of a text; whatever is wrong with them, if anything is.
pub fn read(server: &Server, text: &str) -> Result<Vec<Line>, Vec<ParseError>> {
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let known = |action: Action| match refusal(server, &action) {
            Some((word, message)) => Err(ParseError::new(number, column(line, &word), message)),
            None => Ok(action),
        };
        match parse::action(line).and_then(known) {
            Ok(action) => lines.push(Line { number, action }),
            Err(error) => errors.push(ParseError { line: number, ..error }),
        }
    }
    if lines.is_empty() && errors.is_empty() {
        errors.push(ParseError::new(1, 1, "expected a line, such as kill broker-1"));
    }
    if errors.is_empty() { Ok(lines) } else { Err(errors) }
}

/// Does them all.
pub async fn act(server: &Arc<Server>, lines: Vec<Line>) -> Vec<(Line, Outcome)> {
    let mut outcomes = Vec::new();
    for line in lines {
        let outcome = one(server, line.action.clone()).await;
        let level = match (&outcome, &line.action) {
            (Err(_), _) => Level::Bad,
            (_, Action::Fault(fault)) => fault.level(),
            (_, Action::Stop(_)) => Level::Warn,
            _ => Level::Info,
        };
        let told = match &outcome {
            Ok(done) => format!("{}: {done}", line.action),
            Err(why) => format!("{} is not done: {why}", line.action),
        };
        server.live.say("hand", told, level);
        outcomes.push((line, outcome));
    }
    outcomes
}

/// The word that a live server cannot take, and why; `None` where it takes the line.
fn refusal(server: &Server, action: &Action) -> Option<(String, String)> {
    let verb = action.to_string().split_whitespace().next().unwrap_or_default().to_owned();
    let not_here = |why: &str| Some((verb.clone(), why.to_owned()));
    match action {
        Action::Errand(errand) => errand.taker().and_then(|id| unknown(server, &Who::Broker(id))),
        Action::Send { by: None, .. } => None,
        Action::Fault(Fault::Hold(..) | Fault::Tear(_) | Fault::Corrupt(_)) => {
            not_here("only a simulated cluster can break like that")
        }
        Action::Fault(fault) => {
            let way = matches!(fault, Fault::Cut(_) | Fault::Heal(_) | Fault::SlowLink(..) | Fault::Reset(..));
            let whom = whom(fault).into_iter().filter(|who| !(way && **who == Who::ZooKeeper));
            whom.filter_map(|who| unknown(server, who)).next()
        }
        Action::Stop(name) => unknown(server, &BrokerId::named(name).map_or(Who::Client(name.clone()), Who::Broker)),
        Action::AddBroker => not_here("a live server has the brokers that it was started with"),
        Action::Producer { .. }
        | Action::Consumer { .. }
        | Action::Rate { .. }
        | Action::Send { by: Some(_), .. }
        | Action::Command { .. } => not_here("on a live server producers and consumers are programs of their own"),
        _ => not_here("this is for scenarios"),
    }
}

/// Everyone that a line names.
fn whom(fault: &Fault) -> Vec<&Who> {
    match fault {
        Fault::Kill(who) | Fault::Crash(who) | Fault::Start(who) | Fault::Pause(who) | Fault::Resume(who) => vec![who],
        Fault::SlowDisk(who, _) | Fault::Quicken(who) | Fault::Skew(who, _) | Fault::Expire(who) => vec![who],
        Fault::Fill(who) | Fault::Free(who) | Fault::Wipe(who) | Fault::Tear(who) | Fault::Corrupt(who) => vec![who],
        Fault::Cut(link) | Fault::Heal(link) | Fault::SlowLink(link, _) | Fault::Hold(link, _) => {
            vec![&link.from, &link.to]
        }
        Fault::Reset(one, other) => vec![one, other],
        Fault::HealAll => Vec::new(),
    }
}

fn unknown(server: &Server, who: &Who) -> Option<(String, String)> {
    let brokers = server.hosts.len();
    match who {
        Who::Broker(id) if server.host(*id).is_some() => None,
        Who::Broker(id) => Some((id.to_string(), format!("expected broker-1 to broker-{brokers}, found {id}"))),
        Who::Controller => None,
        Who::Rack(rack) if server.hosts.iter().any(|host| host.registration.rack.as_ref() == Some(rack)) => None,
        Who::Rack(rack) => Some((rack.clone(), format!("no broker is in a rack {rack}"))),
        Who::ZooKeeper => Some((
            who.to_string(),
            format!("expected a broker, such as broker-1, found {who}: it lives as long as the server does"),
        )),
        Who::Client(name) => {
            let why = match name.strip_prefix("rack-") {
                _ if name == "controller" => String::new(),
                Some(rack) => format!(": all of a rack are told by rack {rack}"),
                None => ": clients are not the server's".to_owned(),
            };
            Some((name.clone(), format!("expected a broker, such as broker-1, found {name}{why}")))
        }
    }
}

/// Where a word stands in a line, in characters from 1.
fn column(line: &str, word: &str) -> usize {
    let at = line.match_indices(word).map(|(at, _)| at).find(|at| {
        let ends = |letter: Option<char>| letter.is_none_or(char::is_whitespace);
        ends(line[..*at].chars().next_back()) && ends(line[at + word.len()..].chars().next())
    });
    line[..at.unwrap_or(0)].chars().count() + 1
}

async fn one(server: &Arc<Server>, action: Action) -> Outcome {
    match action {
        Action::Send { by: None, record } => hand::send(server, record).await,
        Action::Errand(errand) => hand::errand(server, &errand).await,
        Action::Fault(fault) => {
            let _acting = server.acting.lock().await;
            strike(server, fault).await
        }
        Action::Stop(name) => {
            let _acting = server.acting.lock().await;
            let host =
                BrokerId::named(&name).and_then(|id| server.host(id)).ok_or_else(|| format!("there is no {name}"))?;
            host.stop().await.map(|()| "it has flushed all and ended".to_owned()).map_err(|error| format!("{error:#}"))
        }
        _ => Err("this is for scenarios".to_owned()),
    }
}

/// What happens to links and to all at once here, to single machines in [`hit`].
async fn strike(server: &Server, fault: Fault) -> Outcome {
    match &fault {
        Fault::Cut(link) => ways(server, link, |from, to| server.exchange.cut(from, to)).await,
        Fault::Heal(link) => ways(server, link, |from, to| server.exchange.heal(from, to)).await,
        Fault::SlowLink(link, by) => ways(server, link, |from, to| server.exchange.slow(from, to, *by)).await,
        Fault::Reset(one, other) => {
            let link = Link { from: one.clone(), to: other.clone(), one_way: true };
            let mut clients = Vec::new();
            let reset = |from, to| match (from, to) {
                (Node::Broker(one), Node::Broker(other)) => server.exchange.reset(one, other),
                (Node::Broker(id), _) | (_, Node::Broker(id)) => clients.push(id),
                (Node::ZooKeeper, Node::ZooKeeper) => {}
            };
            let outcome = ways(server, &link, reset).await;
            for broker in clients.into_iter().filter_map(|id| server.broker(id)) {
                if let Some(session) = broker.look(|broker| broker.session()).await {
                    server.zookeeper.reset(session);
                }
            }
            outcome.map(|_| "what was on its way between them is lost, and they connect anew".to_owned())
        }
        Fault::HealAll => {
            for host in &server.hosts {
                host.ail(|ailments| *ailments = Ailments::default());
                host.resume();
            }
            server.exchange.heal_all();
            Ok("all is well but the dead".to_owned())
        }
        _ => {
            // All of a rack, whatever becomes of the first.
            let (mut done, mut failed) = (Vec::new(), Vec::new());
            let who = whom(&fault)[0];
            for id in resolve(server, who).await? {
                let Some(host) = server.host(id) else { continue };
                // Whoever is not named is said.
                let whose = if *who == Who::Broker(id) { String::new() } else { format!("{id}: ") };
                match hit(server, host, &fault).await {
                    Ok(told) => done.push(format!("{whose}{told}")),
                    Err(error) => failed.push(format!("{whose}{error:#}")),
                }
            }
            if failed.is_empty() { Ok(done.join("; ")) } else { Err(failed.join("; ")) }
        }
    }
}

async fn hit(server: &Server, host: &Host, fault: &Fault) -> anyhow::Result<String> {
    let told = match fault {
        Fault::Kill(_) => host.kill().await.map(|()| "its process is dead")?,
        Fault::Crash(_) => return crash(host).await,
        Fault::Start(_) => {
            let begin = Instant::now();
            host.start().await?;
            return Ok(format!("it runs, after {:.0} ms", begin.elapsed().as_secs_f64() * 1e3));
        }
        Fault::Pause(_) => host.pause().await.map(|()| "it stands still")?,
        Fault::Resume(_) if host.resume() => "it goes on",
        Fault::Resume(_) => bail!("{} does not stand still", host.id()),
        Fault::Wipe(_) => host.wipe().map(|()| "its disk is empty")?,
        Fault::SlowDisk(_, by) => {
            host.ail(|ailments| ailments.slow_disk = *by);
            "from now on"
        }
        Fault::Fill(_) | Fault::Free(_) => {
            host.ail(|ailments| ailments.full_disk = matches!(fault, Fault::Fill(_)));
            "from now on"
        }
        Fault::Expire(_) => {
            let Some(broker) = host.broker() else { bail!("{} is not running", host.id()) };
            let session = broker.look(|broker| broker.session()).await;
            let Some(session) = session else { bail!("{} has stopped", host.id()) };
            server.zookeeper.expire(session);
            "its session with ZooKeeper has ended"
        }
        Fault::Skew(_, millis) => {
            host.ail(|ailments| ailments.skew_millis = *millis);
            "from now on"
        }
        Fault::Quicken(_) => {
            host.ail(|ailments| ailments.slow_disk = Duration::ZERO);
            server.exchange.quicken(host.id());
            "from now on"
        }
        _ => bail!("only a simulated cluster can break like that"),
    };
    server.live.changed();
    Ok(told.to_owned())
}

async fn crash(host: &Host) -> anyhow::Result<String> {
    let losses = host.crash().await?;
    let told = losses.iter().map(|loss| format!("{} bytes of {}", loss.bytes, loss.of)).collect::<Vec<_>>();
    Ok(match told.is_empty() {
        true => "its machine is dead; all was flushed".to_owned(),
        false => format!("its machine is dead; not flushed, and lost: {}", told.join(", ")),
    })
}

/// All ways of a link, in its direction or in both.
async fn ways(server: &Server, link: &Link, mut act: impl FnMut(Node, Node)) -> Outcome {
    let (from, to) = (nodes(server, &link.from).await?, nodes(server, &link.to).await?);
    for (&from, &to) in from.iter().flat_map(|from| to.iter().map(move |to| (from, to))).filter(|(from, to)| from != to)
    {
        act(from, to);
        if !link.one_way {
            act(to, from);
        }
    }
    server.live.changed();
    Ok("from now on".to_owned())
}

async fn nodes(server: &Server, who: &Who) -> Result<Vec<Node>, String> {
    match who {
        Who::ZooKeeper => Ok(vec![Node::ZooKeeper]),
        who => Ok(resolve(server, who).await?.into_iter().map(Node::Broker).collect()),
    }
}

/// Who that is now.
async fn resolve(server: &Server, who: &Who) -> Result<Vec<BrokerId>, String> {
    match who {
        Who::Broker(id) => Ok(vec![*id]),
        Who::Rack(rack) => {
            let of = |host: &&Host| host.registration.rack.as_ref() == Some(rack);
            Ok(server.hosts.iter().filter(of).map(Host::id).collect())
        }
        Who::Controller => {
            let mut newest = None;
            for broker in server.hosts.iter().filter_map(Host::broker) {
                let known = broker.look(|broker| (broker.cluster_state().version, broker.cluster_state().controller));
                newest = newest.max(known.await);
            }
            newest.map(|(_, id)| vec![id]).ok_or_else(|| "no broker runs that knows of a controller".to_owned())
        }
        Who::ZooKeeper | Who::Client(_) => Err(format!("{who} is no broker")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_where_it_stands_alone() {
        assert_eq!(column("kill broker-12", "broker-1"), 1);
        assert_eq!(column("cut broker-11 broker-1", "broker-1"), 15);
        assert_eq!(column("  kill rack ä", "ä"), 13);
    }
}
