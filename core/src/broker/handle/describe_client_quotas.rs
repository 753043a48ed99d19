//! DescribeClientQuotas (KIP-546): which quotas were set, for those that a filter lets through.

use kafka_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use kafka_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use kafka_protocol::protocol::StrBytes;

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::config::setting::parse_double;
use crate::error::ErrorCode;
use crate::quota::{QuotaEntity, Who};
use crate::vec_map::VecMap;

const USER: &str = "user";
const CLIENT: &str = "client-id";
const IP: &str = "ip";

/// Kafka's match types.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

/// What a filter wants of one part of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Exactly(Who),
    /// By name or by default.
    Any,
}

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: DescribeClientQuotasRequest, out: &mut Vec<Effect>) {
    let response = match filter(&body) {
        Ok(filter) => {
            let found = broker.cluster.quotas.iter().filter(|(whose, _)| passes(&filter, body.strict, whose));
            let entries = found.filter_map(|(whose, set)| entry(whose, set));
            DescribeClientQuotasResponse::default().with_entries(Some(entries.collect()))
        }
        Err((error, message)) => DescribeClientQuotasResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_string(message)))
            .with_entries(None),
    };
    asked.reply(response, out);
}

fn filter(body: &DescribeClientQuotasRequest) -> Result<VecMap<&str, Wanted>, (ErrorCode, String)> {
    let invalid = |message: &str| Err((ErrorCode::InvalidRequest, message.to_owned()));
    let mut filter = VecMap::new();
    for component in &body.components {
        let kind = &*component.entity_type;
        if kind.is_empty() {
            return invalid("Invalid empty entity type.");
        }
        if filter.contains_key(kind) {
            return invalid(&format!("Entity type {kind} cannot appear more than once in the filter."));
        }
        if ![USER, CLIENT, IP].contains(&kind) {
            return Err((ErrorCode::UnsupportedVersion, format!("Unsupported entity type {kind}")));
        }
        let wanted = match (component.match_type, &component._match) {
            (EXACT, Some(name)) => Wanted::Exactly(Who::Named(name.to_string())),
            (EXACT, None) => return invalid("Request specified MATCH_TYPE_EXACT, but set match string to null."),
            (DEFAULT, None) => Wanted::Exactly(Who::Default),
            (DEFAULT, Some(_)) => {
                return invalid("Request specified MATCH_TYPE_DEFAULT, but also specified a match string.");
            }
            (SPECIFIED, None) => Wanted::Any,
            (SPECIFIED, Some(_)) => {
                return invalid("Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.");
            }
            (other, _) => return invalid(&format!("Unknown match type {other}")),
        };
        filter.insert(kind, wanted);
    }
    if filter.contains_key(IP) && filter.len() > 1 {
        return invalid(
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId \
             filter component.",
        );
    }
    Ok(filter)
}

fn passes(filter: &VecMap<&str, Wanted>, strict: bool, whose: &QuotaEntity) -> bool {
    let parts = [(USER, &whose.user), (CLIENT, &whose.client), (IP, &whose.ip)];
    parts.into_iter().all(|(kind, part)| match (filter.get(kind), part) {
        (None, part) => !strict || part.is_none(),
        (Some(_), None) => false,
        (Some(Wanted::Any), Some(_)) => true,
        (Some(Wanted::Exactly(wanted)), Some(who)) => who == wanted,
    })
}

/// `None` where nothing is limited. What is no number, or no quota, is passed over.
fn entry(whose: &QuotaEntity, set: &VecMap<String, String>) -> Option<EntryData> {
    let values: Vec<ValueData> = whose
        .keys()
        .iter()
        .filter_map(|key| {
            let value = parse_double(set.get(key.name())?)?;
            Some(ValueData::default().with_key(StrBytes::from_static_str(key.name())).with_value(value))
        })
        .collect();
    let part = |kind: &'static str, who: &Option<Who>| {
        let name = match who.as_ref()? {
            Who::Default => None,
            Who::Named(name) => Some(StrBytes::from_string(name.clone())),
        };
        Some(EntityData::default().with_entity_type(StrBytes::from_static_str(kind)).with_entity_name(name))
    };
    let entity =
        [part(CLIENT, &whose.client), part(USER, &whose.user), part(IP, &whose.ip)].into_iter().flatten().collect();
    (!values.is_empty()).then(|| EntryData::default().with_entity(entity).with_values(values))
}
