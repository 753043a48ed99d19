//! What the share coordinator can be set to, and the leaders of share-partitions; and what one group can be set to of that
//! while brokers run.

use super::broker::Reader;
use super::setting::Value;
use crate::record::Compression;
use crate::time::Duration;
use crate::vec_map::VecMap;

#[derive(Clone, Debug, PartialEq)]
pub struct ShareSettings {
    /// How long a write to `__share_group_state` may take.
    pub write_timeout: Duration,
    pub topic_compression: Compression,
    /// Updates of a share-partition before it has another snapshot.
    pub updates_per_snapshot: usize,
    /// How often that is deleted which nobody needs.
    pub prune_interval: Duration,
    /// A share-partition that has not changed for so long has another snapshot.
    pub cold_snapshot_interval: Duration,
    /// Share sessions of one broker.
    pub max_sessions: usize,
    /// Where a group has none of its own.
    pub delivery: Delivery,
}

/// How records are delivered to a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// So many times at most.
    pub count_limit: i16,
    /// After which another may have them.
    pub lock_duration: Duration,
    /// Records of a partition that are on their way.
    pub max_record_locks: usize,
    pub reset: Reset,
    pub read_committed: bool,
    /// Members may hold on to records for longer.
    pub renews: bool,
}

/// `share.auto.offset.reset`: where a group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    Latest,
    Earliest,
    /// With what is not older.
    ByDuration(Duration),
}

impl ShareSettings {
    pub(super) fn read(reader: &Reader<'_>) -> ShareSettings {
        ShareSettings {
            write_timeout: reader.millis("share.coordinator.write.timeout.ms"),
            topic_compression: match reader.value("share.coordinator.state.topic.compression.codec") {
                Value::Integer(id) => Compression::from_id(id as i16).unwrap_or_default(),
                _ => Compression::None,
            },
            updates_per_snapshot: reader.integer("share.coordinator.snapshot.update.records.per.snapshot").max(0)
                as usize,
            prune_interval: reader.millis("share.coordinator.state.topic.prune.interval.ms"),
            cold_snapshot_interval: reader.millis("share.coordinator.cold.partition.snapshot.interval.ms"),
            max_sessions: reader.integer("group.share.max.share.sessions").max(0) as usize,
            delivery: Delivery {
                count_limit: reader.integer("group.share.delivery.count.limit") as i16,
                lock_duration: reader.millis("group.share.record.lock.duration.ms"),
                max_record_locks: reader.integer("group.share.partition.max.record.locks").max(0) as usize,
                reset: Reset::Latest,
                read_committed: false,
                renews: true,
            },
        }
    }
}

impl Delivery {
    /// With what was set of one group.
    pub fn with(&self, set: Option<&VecMap<String, String>>) -> Delivery {
        let mut delivery = self.clone();
        let Some(set) = set else { return delivery };
        let number = |name: &str| set.get(name).and_then(|text| text.trim().parse::<u32>().ok());
        if let Some(limit) = number("share.delivery.count.limit") {
            delivery.count_limit = limit.min(i16::MAX as u32) as i16;
        }
        if let Some(millis) = number("share.record.lock.duration.ms") {
            delivery.lock_duration = Duration::from_millis(millis.into());
        }
        if let Some(locks) = number("share.partition.max.record.locks") {
            delivery.max_record_locks = locks as usize;
        }
        if let Some(reset) = set.get("share.auto.offset.reset").and_then(|text| Reset::parse(text)) {
            delivery.reset = reset;
        }
        if let Some(level) = set.get("share.isolation.level") {
            delivery.read_committed = level.eq_ignore_ascii_case("read_committed");
        }
        if let Some(renews) = set.get("share.renew.acknowledge.enable") {
            delivery.renews = renews.eq_ignore_ascii_case("true");
        }
        delivery
    }
}

impl Reset {
    /// `latest`, `earliest`, `by_duration:P1DT2H`.
    pub fn parse(text: &str) -> Option<Reset> {
        let text = text.to_ascii_lowercase();
        match &*text {
            "latest" => Some(Reset::Latest),
            "earliest" => Some(Reset::Earliest),
            other => duration(other.strip_prefix("by_duration:")?).map(Reset::ByDuration),
        }
    }
}

/// ISO 8601's, as Java's `Duration` reads it, in lower case: days, hours, minutes, seconds.
fn duration(text: &str) -> Option<Duration> {
    let (days, time) = match text.strip_prefix('p')?.split_once('t') {
        Some((days, time)) => (days, time),
        None => (text.strip_prefix('p')?, ""),
    };
    let mut millis = 0.0;
    let mut take = |mut part: &str, units: &[(char, f64)]| -> Option<()> {
        for &(unit, scale) in units {
            if let Some((number, rest)) = part.split_once(unit) {
                millis += number.parse::<f64>().ok().filter(|number| *number >= 0.0)? * scale;
                part = rest;
            }
        }
        part.is_empty().then_some(())
    };
    take(days, &[('d', 86_400_000.0)])?;
    take(time, &[('h', 3_600_000.0), ('m', 60_000.0), ('s', 1_000.0)])?;
    Some(Duration::from_millis(millis as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_begins_where_it_is_set_to_begin() {
        let millis = |millis| Some(Reset::ByDuration(Duration::from_millis(millis)));
        assert_eq!(Reset::parse("EARLIEST"), Some(Reset::Earliest));
        assert_eq!(Reset::parse("by_duration:P1DT2H3M4.5S"), millis(93_784_500));
        assert_eq!(Reset::parse("by_duration:PT1M"), millis(60_000));
        assert_eq!((Reset::parse("by_duration:1M"), Reset::parse("none")), (None, None));
    }
}
