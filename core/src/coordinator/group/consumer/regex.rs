//! What a member subscribes to, above all by a regular expression, which means topics that come and go.
//!
//! Which topics that are is looked up for all regular expressions of a group at once, apart from the heartbeat that asks for
//! it, and written down; and at most every ten seconds, since all of the cluster's topics are gone through.
//!
//! Kafka's are those of RE2. The engine here takes the same but for `\Q…\E` and Unicode's classes, which names of topics,
//! all ASCII, need not have.

use std::sync::Arc;

use regex_lite::Regex as Pattern;

use super::super::record::{MemberValue, Record, RegexKey, RegexValue};
use super::super::turn::Turn;
use super::super::{Group, Groups, Timer};
use super::{Consumer, Member};
use crate::controller::Refusal;
use crate::coordinator::{Around, Decision};
use crate::error::ErrorCode;
use crate::protocol::cluster::ClusterState;
use crate::time::{Duration, Timestamp};

/// What RE2 says where this engine's words contain those.
const RE2_WORDS: &[(&str, &str)] = &[
    ("found closing ')'", "regexp/syntax: internal error"),
    ("closing ')'", "missing closing )"),
    ("bracket", "missing closing ]"),
    ("unclosed character class", "missing closing ]"),
    ("must be applied to a sub-expression", "missing argument to repetition operator"),
    ("repetition", "invalid repeat count"),
    ("saw start of escape sequence", "trailing backslash at end of expression"),
    ("escape sequence", "invalid escape sequence"),
    ("backreferences", "invalid escape sequence"),
    ("duplicate capture group name", "duplicate capture group name"),
    ("group name", "invalid named capture"),
    ("flag", "invalid or unsupported Perl syntax"),
    ("look-around", "invalid or unsupported Perl syntax"),
    ("range", "invalid character class range"),
];

/// Kafka's: topics are not looked up more often.
const MIN_REFRESH_INTERVAL_MS: i64 = 10_000;

/// What of a member's subscription is another than before.
pub struct Subscribed {
    pub names: bool,
    pub to: Regex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regex {
    Same,
    /// Another, of which it is still to be looked up which topics it means.
    Unresolved,
    /// Another, of which that is known; or none any more.
    Resolved,
}

impl Subscribed {
    pub fn any(&self) -> bool {
        self.names || self.to != Regex::Same
    }
}

impl Groups {
    /// Looks up which topics a group's regular expressions mean.
    pub(in super::super) fn resolve_regexes(&self, around: &Around<'_>, id: &Arc<str>) -> Decision<Groups> {
        let Some(Group::Consumer(group)) = self.state.groups.get(id) else { return Decision::default() };
        let mut turn = Turn::new(around, Consumer::clone(group));
        let mut bump = false;
        let regexes: Vec<Arc<str>> = turn.group.subscribed_regexes().cloned().collect();
        for regex in regexes {
            let value = RegexValue {
                topics: matching(&regex, around.cluster),
                version: around.cluster.version as i64,
                timestamp: around.now.wall.0,
            };
            let before = turn.group.regexes.get(&regex).map(|before| &before.topics[..]);
            bump |= before.unwrap_or_default() != value.topics;
            turn.write(Record::Regex(RegexKey { group: id.clone(), regex }, Some(value)));
        }
        if bump || turn.group.computed_hash(around.cluster) != turn.group.metadata_hash {
            turn.check_topics(true);
        }
        turn.decision
    }
}

impl Turn<'_, Consumer> {
    /// The member, which was `before`, wants `wants` from now on. `new_topics` is the last version of the cluster's state
    /// that has brought topics.
    pub fn subscribe(&mut self, before: &Member, wants: MemberValue, new_topics: u64) -> Result<Subscribed, Refusal> {
        let last = self.group.last_refresh();
        let names = wants.subscribed_topic_names != before.wants.subscribed_topic_names;
        if self.group.member(&before.id).is_none() || wants != before.wants {
            self.write(Record::Member(self.key(&before.id), Some(wants.clone())));
        }
        let after = Member { wants, ..before.clone() };
        let (mut to, mut needed) = (Regex::Same, false);
        if before.regex() != after.regex() {
            to = Regex::Unresolved;
            if let Some(old) = before.regex() {
                self.forget_unused(old);
            }
            match after.regex() {
                Some(regex) if self.group.subscribers_of(regex) == 1 => {
                    compile(regex)?;
                    needed = true;
                }
                Some(regex) if self.group.regexes.contains_key(regex) => to = Regex::Resolved,
                Some(_) => {}
                None => to = Regex::Resolved,
            }
        }
        self.refresh(last, needed, new_topics);
        Ok(Subscribed { names, to })
    }

    /// Which topics a regular expression means need not be known any more when nobody asks for it.
    pub fn forget_unused(&mut self, regex: &Arc<str>) {
        if self.group.subscribers_of(regex) == 0 {
            let key = RegexKey { group: self.group.id.clone(), regex: regex.clone() };
            self.write(Record::Regex(key, None));
        }
    }

    /// Has topics looked up, if there is reason to.
    fn refresh(&mut self, last: Option<(Timestamp, i64)>, needed: bool, new_topics: u64) {
        let subscribed = self.group.subscribed_regexes().count();
        let now = self.now().0;
        let since = |interval: i64| last.is_none_or(|(at, _)| now > at.0.saturating_add(interval));
        if subscribed == 0 || !since(MIN_REFRESH_INTERVAL_MS) {
            return;
        }
        let interval = self.around.settings.group.consumer.regex_refresh_interval.as_millis() as i64;
        let needed = needed
            || subscribed != self.group.regexes.len()
            || last.is_some_and(|(_, version)| (version as u64) < new_topics)
            || since(interval);
        if needed {
            self.set_first(Timer::Regex(self.group.id.clone()), Duration::ZERO);
        }
    }
}

impl Consumer {
    /// When, and in which of the cluster's states, topics were last looked up.
    fn last_refresh(&self) -> Option<(Timestamp, i64)> {
        self.regexes.values().next().map(|value| (Timestamp(value.timestamp), value.version))
    }
}

/// The topics whose whole name matches; none where the regular expression makes no sense.
fn matching(regex: &str, cluster: &ClusterState) -> Vec<Arc<str>> {
    let Ok(pattern) = compile(regex) else { return Vec::new() };
    let names = cluster.topics.keys().filter(|name| pattern.is_match(name));
    names.map(|name| Arc::from(name.as_str())).collect()
}

fn compile(regex: &str) -> Result<Pattern, Refusal> {
    // By itself, so that parentheses that do not match each other are not made to match.
    let whole = Pattern::new(regex).and_then(|_| Pattern::new(&format!("^(?:{regex})$")));
    whole.map_err(|malformed| {
        let why = malformed.to_string();
        let why = RE2_WORDS.iter().find(|(words, _)| why.contains(words)).map_or(&*why, |(_, words)| words);
        (
            ErrorCode::InvalidRegularExpression,
            format!("SubscribedTopicRegex `{regex}` is not a valid regular expression: {why}."),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_name_must_match_and_what_makes_no_sense_is_refused() {
        let matches = |regex: &str, name: &str| compile(regex).unwrap().is_match(name);
        assert!(matches("t3|num.*", "numbers") && matches("t3|num.*", "t3") && matches("(?i)T3", "t3"));
        assert!(!matches("t3|num.*", "t33") && !matches("umb", "numbers") && !matches("a", "a\n"));
        for (regex, why) in [
            ("a)(b", "regexp/syntax: internal error"),
            ("a(b", "missing closing )"),
            ("[ab", "missing closing ]"),
            ("a|*", "missing argument to repetition operator"),
            ("a{2,1}", "invalid repeat count"),
            ("a\\", "trailing backslash at end of expression"),
            ("\\y", "invalid escape sequence"),
            ("\\1", "invalid escape sequence"),
            ("(?<n", "invalid named capture"),
            ("(?z)", "invalid or unsupported Perl syntax"),
            ("(?=a)", "invalid or unsupported Perl syntax"),
            ("[b-a]", "invalid character class range"),
        ] {
            let message = format!("SubscribedTopicRegex `{regex}` is not a valid regular expression: {why}.");
            assert_eq!(compile(regex).unwrap_err(), (ErrorCode::InvalidRegularExpression, message));
        }
    }
}
