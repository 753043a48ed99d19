//! Settings of clients, by Kafka's names: what may stand behind each, its default, and what it is for.

use std::fmt;
use std::sync::Arc;

use crate::near::hint;
use crate::vec_map::VecMap;

/// A setting of a producer or a consumer.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub name: &'static str,
    /// As Kafka's documentation writes it.
    pub default: &'static str,
    pub valid: Valid,
    pub doc: &'static str,
}

/// What may stand behind a setting.
#[derive(Clone, Copy, Debug)]
pub enum Valid {
    /// A whole number, from and to.
    Number(i64, i64),
    /// One of these.
    Of(&'static [&'static str]),
    OfIgnoringCase(&'static [&'static str]),
    /// One of Kafka's classes, with or without the package that they are in.
    Class(&'static str, &'static [&'static str]),
    Bool,
    Text,
    /// `10/s`.
    Rate,
    /// Kafka has it, Ottla's client does not have it yet: the only value that is true of this client, and why.
    Only(&'static str, &'static str),
}

/// Whether `name=value` may be set.
pub fn check(kind: &str, table: &'static [Setting], name: &str, value: &str) -> Result<(), String> {
    let Some(setting) = table.iter().find(|setting| setting.name == name) else {
        return Err(format!("a {kind} has no setting {name}.{}", hint(name, table.iter().map(|known| known.name))));
    };
    let expected = match setting.valid {
        Valid::Number(from, to) => match value.parse::<i64>() {
            Ok(number) if (from..=to).contains(&number) => return Ok(()),
            _ if to == i64::MAX || to == i64::from(i32::MAX) => format!("a whole number from {from}"),
            _ => format!("a whole number from {from} to {to}"),
        },
        Valid::Of(values) if values.contains(&value) => return Ok(()),
        Valid::OfIgnoringCase(values) if values.iter().any(|valid| valid.eq_ignore_ascii_case(value)) => return Ok(()),
        Valid::Of(values) | Valid::OfIgnoringCase(values) => {
            let near = hint(value, values.iter().copied());
            return Err(format!("expected {name} to be one of {}, found {value}.{near}", values.join(", ")));
        }
        Valid::Class(package, classes) => {
            let class = value.strip_prefix(package).and_then(|rest| rest.strip_prefix('.')).unwrap_or(value);
            if classes.contains(&class) {
                return Ok(());
            }
            let near = hint(class, classes.iter().copied());
            return Err(format!("expected {name} to be one of {}, found {value}.{near}", classes.join(", ")));
        }
        Valid::Bool if ["true", "false"].iter().any(|valid| valid.eq_ignore_ascii_case(value)) => return Ok(()),
        Valid::Bool => "true or false".to_string(),
        Valid::Text => return Ok(()),
        Valid::Rate => match rate(value) {
            Some(_) => return Ok(()),
            None => "a rate up to 100000/s, such as 10/s".to_string(),
        },
        // All of them words of which Kafka takes any case.
        Valid::Only(only, _) if value.eq_ignore_ascii_case(only) => return Ok(()),
        Valid::Only("", why) => return Err(format!("{name} can only be empty here: {why}")),
        Valid::Only(only, why) => return Err(format!("{name} can only be {only} here: {why}")),
    };
    Err(format!("expected {name} to be {expected}, found {value}"))
}

/// Reads settings that [`check`] let pass: what is not set has its default.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub table: &'static [Setting],
    pub set: &'a VecMap<String, String>,
}

impl<'a> Reader<'a> {
    pub fn text(&self, name: &str) -> &'a str {
        match self.set.get(name) {
            Some(value) => value,
            None => self.table.iter().find(|setting| setting.name == name).map_or("", |setting| setting.default),
        }
    }

    /// Whether clients of that kind have it.
    pub fn has(&self, name: &str) -> bool {
        self.table.iter().any(|setting| setting.name == name)
    }

    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }

    pub fn millis(&self, name: &str) -> crate::time::Duration {
        crate::time::Duration::from_millis(self.number(name))
    }

    pub fn is(&self, name: &str) -> bool {
        self.text(name).eq_ignore_ascii_case("true")
    }
}

/// The largest rate of a producer, in thousandths of a record a second.
pub const MAX_RATE_MILLI: u64 = 100_000_000;

/// `10/s`, `0.5/s`, `30/m`: in thousandths of a record a second, at most [`MAX_RATE_MILLI`].
pub fn rate(text: &str) -> Option<u64> {
    let (number, unit) = text.split_once('/')?;
    let milli = match unit {
        "s" => decimal(number, 1_000)?,
        "m" | "min" => decimal(number, 1_000)? / 60,
        _ => return None,
    };
    (milli <= MAX_RATE_MILLI).then_some(milli)
}

/// A decimal number times `unit`, if that is a whole number.
pub fn decimal(text: &str, unit: u64) -> Option<u64> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || text.ends_with('.') || places.len() > 9 || !digits(whole) || !digits(places) {
        return None;
    }
    let scale = 10_u64.pow(places.len() as u32);
    let part = u128::from(places.parse::<u64>().unwrap_or(0)) * u128::from(unit);
    if part % u128::from(scale) != 0 {
        return None;
    }
    let part = u64::try_from(part / u128::from(scale)).ok()?;
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(part)
}

/// A decimal number, given how many of the digits of the whole one are behind the point.
pub(crate) struct Decimal(pub u64, pub u32);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u64.pow(self.1);
        write!(f, "{}", self.0 / unit)?;
        if !self.0.is_multiple_of(unit) {
            let places = format!("{:0width$}", self.0 % unit, width = self.1 as usize);
            write!(f, ".{}", places.trim_end_matches('0'))?;
        }
        Ok(())
    }
}

/// What was set, by name, for the page.
pub(super) type Set = Arc<VecMap<String, String>>;

/// A hand has changed the rate.
pub(super) fn set_rate(set: &mut Set, milli_per_second: u64) {
    Arc::make_mut(set).insert("rate".to_owned(), format!("{}/s", Decimal(milli_per_second, 3)));
}

/// As it is written: `acks=1 linger.ms=5`.
pub(super) fn text<'a>(set: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    set.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// Every setting with its value, what was set marked; `name` is the client's, which is its client.id where none is set.
pub(super) fn facts(table: &[Setting], set: &VecMap<String, String>, name: &str) -> Vec<(String, String)> {
    let value = |setting: &Setting| match set.get(setting.name) {
        Some(value) => format!("{value} (set)"),
        None if setting.name == "client.id" => name.to_string(),
        None if setting.default.is_empty() => "none".to_string(),
        None => setting.default.to_string(),
    };
    table.iter().map(|setting| (setting.name.to_string(), value(setting))).collect()
}
