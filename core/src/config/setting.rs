//! One setting, and how Kafka reads and checks its values: Java's number formats, Java's words.

use std::{fmt, slice};

use super::group::ShareReset;

/// What was wrong with a setting, in Kafka's words. Its code is INVALID_CONFIG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// The type of a setting's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    String,
    Int,
    Short,
    Long,
    Double,
    List,
    Class,
    Password,
}

impl Kind {
    /// As the tables spell it.
    pub(super) fn from_name(name: &str) -> Option<Kind> {
        Some(match name {
            "boolean" => Kind::Boolean,
            "string" => Kind::String,
            "int" => Kind::Int,
            "short" => Kind::Short,
            "long" => Kind::Long,
            "double" => Kind::Double,
            "list" => Kind::List,
            "class" => Kind::Class,
            "password" => Kind::Password,
            _ => return None,
        })
    }

    /// DescribeConfigs' `config_type`.
    pub fn code(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::String => 2,
            Kind::Int => 3,
            Kind::Short => 4,
            Kind::Long => 5,
            Kind::Double => 6,
            Kind::List => 7,
            Kind::Class => 8,
            Kind::Password => 9,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Boolean => "BOOLEAN",
            Kind::String => "STRING",
            Kind::Int => "INT",
            Kind::Short => "SHORT",
            Kind::Long => "LONG",
            Kind::Double => "DOUBLE",
            Kind::List => "LIST",
            Kind::Class => "CLASS",
            Kind::Password => "PASSWORD",
        }
    }
}

/// Whether a running broker takes a new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dynamic {
    /// Only where the broker starts.
    ReadOnly,
    PerBroker,
    ClusterWide,
    PerTopic,
    PerGroup,
}

/// Which of the values of its type a setting may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Valid {
    Any,
    /// Bounds as Kafka prints them; both are included.
    Range {
        min: Option<&'static str>,
        max: Option<&'static str>,
    },
    /// A gzip level.
    LevelOrDefault {
        min: i64,
        max: i64,
        default: i64,
    },
    /// One of these, comma-separated; for lists, each.
    OneOf(&'static str),
    /// A list of these, and of one at least.
    SomeOf(&'static str),
    OneOfIgnoringCase(&'static str),
    NonEmptyString,
    NonEmptyList,
    NoDuplicates,
    ThrottledReplicas,
    /// Of a share group: [`ShareReset`](super::group::ShareReset).
    OffsetReset,
}

/// A setting, as Kafka defines it.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    pub name: &'static str,
    pub kind: Kind,
    /// In Kafka's text form; `None` is no value.
    pub default: Option<&'static str>,
    pub dynamic: Dynamic,
    /// Kafka does not show it.
    pub internal: bool,
    pub documentation: String,
    pub(super) valid: Valid,
}

/// A value of a setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Double(f64),
    Text(String),
    List(Vec<String>),
}

impl Setting {
    /// Whether it may hold a secret: then no reply shows its value.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// Kafka knows it only where it was set while brokers run.
    pub fn is_set_while_running_only(&self) -> bool {
        self.internal && matches!(self.dynamic, Dynamic::PerBroker | Dynamic::ClusterWide)
    }

    /// Reads and checks a value.
    pub fn parse(&self, text: &str) -> Result<Value, ConfigError> {
        let mut value = self.parse_type(text)?;
        if let (Value::List(list), Kind::List) = (&mut value, self.kind)
            && matches!(self.valid, Valid::OneOf(_) | Valid::SomeOf(_) | Valid::NoDuplicates | Valid::NonEmptyList)
        {
            // Kafka warns and goes on with the first of each.
            let mut seen: Vec<String> = Vec::new();
            list.retain(|item| {
                let new = !seen.contains(item);
                if new {
                    seen.push(item.clone());
                }
                new
            });
        }
        self.check(&value)?;
        Ok(value)
    }

    /// The value that it has where none is set.
    pub fn default_value(&self) -> Value {
        self.default.map_or(Value::Null, |text| self.parse_type(text).expect("Kafka's defaults are well formed"))
    }

    fn parse_type(&self, text: &str) -> Result<Value, ConfigError> {
        let trimmed = text.trim();
        let not_a_number = || self.wrong(text, &format!("Not a number of type {}", self.kind.name()));
        let integer = |min: i64, max: i64| {
            let number = trimmed.parse::<i64>().ok().filter(|number| (min..=max).contains(number));
            number.map(Value::Integer).ok_or_else(not_a_number)
        };
        match self.kind {
            Kind::Boolean if trimmed.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
            Kind::Boolean if trimmed.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
            Kind::Boolean => Err(self.wrong(text, "Expected value to be either true or false")),
            Kind::Int => integer(i32::MIN.into(), i32::MAX.into()),
            Kind::Short => integer(i16::MIN.into(), i16::MAX.into()),
            Kind::Long => integer(i64::MIN, i64::MAX),
            Kind::Double => parse_double(trimmed).map(Value::Double).ok_or_else(not_a_number),
            Kind::List if trimmed.is_empty() => Ok(Value::List(Vec::new())),
            Kind::List => Ok(Value::List(trimmed.split(',').map(|item| item.trim().to_owned()).collect())),
            Kind::Class if !comes_with_kafka(trimmed) => {
                Err(self.wrong(text, &format!("Class {text} could not be found.")))
            }
            Kind::String | Kind::Class | Kind::Password => Ok(Value::Text(trimmed.to_owned())),
        }
    }

    pub(super) fn check(&self, value: &Value) -> Result<(), ConfigError> {
        let number = match value {
            Value::Integer(number) => Some(*number as f64),
            Value::Double(number) => Some(*number),
            _ => None,
        };
        let wrong = |why: &str| Err(self.wrong(&value.in_java(), why));
        match (self.valid, number, value) {
            (Valid::Range { min, max }, Some(number), _) => {
                // NaN is neither too small nor too large, in Java as here.
                if let Some(min) = min.filter(|min| number < bound(min)) {
                    return wrong(&format!("Value must be at least {min}"));
                }
                if let Some(max) = max.filter(|max| number > bound(max)) {
                    return wrong(&format!("Value must be no more than {max}"));
                }
            }
            (Valid::LevelOrDefault { min, max, default }, _, Value::Integer(level))
                if !(min..=max).contains(level) && *level != default =>
            {
                return wrong(&format!("Value must be between {min} and {max} or equal to {default}"));
            }
            (Valid::OneOf(names), _, Value::Text(text)) => self.one_of(names, text)?,
            (Valid::SomeOf(names), _, Value::List(list)) if list.is_empty() => {
                return self.must_not_be_empty(&format!("[{names}]"));
            }
            (Valid::OneOf(names) | Valid::SomeOf(names), _, Value::List(list)) => {
                for item in list {
                    self.no_empty_item(slice::from_ref(item))?;
                    self.one_of(names, item)?;
                }
            }
            (Valid::OneOfIgnoringCase(names), _, Value::Text(text))
                if !names.split(", ").any(|name| name.eq_ignore_ascii_case(text)) =>
            {
                return wrong(&format!("String must be one of (case insensitive): {names}"));
            }
            (Valid::OffsetReset, _, Value::Text(text)) if ShareReset::parse(text).is_none() => {
                return wrong(&format!(
                    "Invalid value `{text}` for configuration {}. The value must be either 'earliest', 'latest' or of the \
                     format 'by_duration:<PnDTnHnMn.nS>'.",
                    self.name
                ));
            }
            (Valid::NonEmptyString, _, Value::Text(text)) if text.is_empty() => {
                return wrong("String must be non-empty");
            }
            (Valid::NonEmptyList, _, Value::List(list)) if list.is_empty() => {
                return self.must_not_be_empty("any non-empty value");
            }
            (Valid::NoDuplicates | Valid::NonEmptyList, _, Value::List(list)) => self.no_empty_item(list)?,
            (Valid::ThrottledReplicas, _, Value::List(list))
                if !(list.iter().all(|item| is_replica(item)) || list.len() == 1 && list[0] == "*") =>
            {
                let name = self.name;
                return wrong(&format!(
                    "{name} must be the literal '*' or a list of replicas in the following format: \
                     [partitionId]:[brokerId],[partitionId]:[brokerId],..."
                ));
            }
            _ => {}
        }
        Ok(())
    }

    fn one_of(&self, names: &str, text: &str) -> Result<(), ConfigError> {
        if names.split(", ").any(|name| name == text) {
            return Ok(());
        }
        Err(self.wrong(text, &format!("String must be one of: {names}")))
    }

    fn must_not_be_empty(&self, valid: &str) -> Result<(), ConfigError> {
        Err(ConfigError(format!("Configuration '{}' must not be empty. Valid values include: {valid}", self.name)))
    }

    fn no_empty_item(&self, list: &[String]) -> Result<(), ConfigError> {
        if list.iter().any(String::is_empty) {
            return Err(ConfigError(format!("Configuration '{}' values must not be empty.", self.name)));
        }
        Ok(())
    }

    fn wrong(&self, value: &str, why: &str) -> ConfigError {
        ConfigError(format!("Invalid value {value} for configuration {}: {why}", self.name))
    }
}

impl Value {
    /// As DescribeConfigs shows it.
    pub fn text(&self) -> Option<String> {
        match self {
            Value::Null => None,
            Value::List(list) => Some(list.join(",")),
            other => Some(other.in_java()),
        }
    }

    /// As Java prints it.
    fn in_java(&self) -> String {
        match self {
            Value::Null => "null".into(),
            Value::Boolean(value) => value.to_string(),
            Value::Integer(value) => value.to_string(),
            Value::Double(value) => double_in_java(*value),
            Value::Text(value) => value.clone(),
            Value::List(list) => format!("[{}]", list.join(", ")),
        }
    }
}

/// Whether a class is taken to be there.
pub(super) fn comes_with_kafka(class: &str) -> bool {
    class.starts_with("org.apache.kafka.")
}

fn bound(text: &str) -> f64 {
    text.parse().expect("the tables' bounds are numbers")
}

/// `12:3`: a partition and a broker.
fn is_replica(text: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once(':').is_some_and(|(partition, broker)| number(partition) && number(broker))
}

/// What Java's `Double.parseDouble` takes, without hexadecimal numbers.
pub fn parse_double(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, "NaN" | "Infinity") {
        return text.parse().ok();
    }
    let digits = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    if digits.bytes().any(|byte| byte.is_ascii_alphabetic() && !byte.eq_ignore_ascii_case(&b'e')) {
        return None;
    }
    digits.parse().ok()
}

/// What Java's `Double.toString` gives.
pub fn double_in_java(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{value:?}");
    }
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN".into()
        } else if value > 0.0 {
            "Infinity".into()
        } else {
            "-Infinity".into()
        };
    }
    let scientific = format!("{value:E}");
    match scientific.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => scientific,
    }
}
