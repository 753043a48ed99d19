//! Quotas of clients: set, looked up, taken back; and what is refused.

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;

use super::*;

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

/// Of an entity: its kind, and its name; without one it is the default.
type Part = (&'static str, Option<&'static str>);
/// Of an alteration: the key, and the value; without one it is taken back.
type Change = (&'static str, Option<f64>);

fn entry(parts: &[Part], changes: &[Change]) -> EntryData {
    let entity = parts.iter().map(|(kind, name)| {
        EntityData::default().with_entity_type(text(kind)).with_entity_name(name.as_ref().map(|name| text(name)))
    });
    let ops = changes.iter().map(|(key, value)| {
        OpData::default().with_key(text(key)).with_value(value.unwrap_or(0.0)).with_remove(value.is_none())
    });
    EntryData::default().with_entity(entity.collect()).with_ops(ops.collect())
}

fn describe(components: &[(&str, i8, Option<&str>)], strict: bool) -> DescribeClientQuotasRequest {
    let components = components.iter().map(|(kind, match_type, name)| {
        ComponentData::default()
            .with_entity_type(text(kind))
            .with_match_type(*match_type)
            .with_match(name.as_ref().map(|name| text(name)))
    });
    DescribeClientQuotasRequest::default().with_components(components.collect()).with_strict(strict)
}

pub(super) fn exchanges(script: &mut Vec<Exchange>) {
    const USER: Part = ("user", Some("someone else"));
    const CLIENT: Part = ("client-id", Some("another/one"));
    const IP: Part = ("ip", Some("192.0.2.7"));
    for version in versions(ApiKey::AlterClientQuotas) {
        for (what, parts, changes) in [
            ("of a client", &[CLIENT][..], &[("producer_byte_rate", Some(1024.0))][..]),
            ("of a user", &[USER], &[("consumer_byte_rate", Some(2048.0)), ("request_percentage", Some(12.5))]),
            ("of all clients of a user", &[USER, ("client-id", None)], &[("controller_mutation_rate", Some(0.25))]),
            (
                "one is changed, one goes",
                &[USER],
                &[("consumer_byte_rate", Some(4096.0)), ("request_percentage", None)],
            ),
            ("what is not there is taken back", &[CLIENT], &[("request_percentage", None)]),
            ("nothing", &[CLIENT], &[]),
            ("a key that is none", &[CLIENT], &[("producer_bytes", Some(1.0))]),
            ("a key that is none is taken back", &[CLIENT], &[("producer_bytes", None)]),
            ("a key of addresses", &[CLIENT], &[("connection_creation_rate", Some(1.0))]),
            ("zero", &[CLIENT], &[("producer_byte_rate", Some(0.0))]),
            ("less than zero", &[CLIENT], &[("request_percentage", Some(-1.0))]),
            ("half a byte", &[CLIENT], &[("producer_byte_rate", Some(1.5))]),
            ("too much", &[CLIENT], &[("producer_byte_rate", Some(1e300))]),
            ("a key twice", &[CLIENT], &[("producer_byte_rate", Some(1.0)), ("producer_byte_rate", Some(2.0))]),
            ("of nobody", &[], &[("producer_byte_rate", Some(1.0))]),
            ("of an empty name", &[("user", Some(""))], &[("producer_byte_rate", Some(1.0))]),
            ("of a kind that is none", &[("group", Some("g"))], &[("producer_byte_rate", Some(1.0))]),
            ("of an address", &[IP], &[("connection_creation_rate", Some(1000.0))]),
            ("of a longer address", &[("ip", Some("2001:db8::7"))], &[("connection_creation_rate", Some(7.0))]),
            ("of all addresses", &[("ip", None)], &[("connection_creation_rate", Some(1e6))]),
            ("of what is no address", &[("ip", Some("no address/1"))], &[("connection_creation_rate", Some(1.0))]),
            (
                "of a host that is not found",
                &[("ip", Some("nowhere.invalid"))],
                &[("connection_creation_rate", Some(1.0))],
            ),
            ("half a connection", &[IP], &[("connection_creation_rate", Some(1.5))]),
            ("no connection", &[IP], &[("connection_creation_rate", Some(0.0))]),
            ("too many connections", &[IP], &[("connection_creation_rate", Some(3e9))]),
            ("a key of clients", &[IP], &[("producer_byte_rate", Some(1.0))]),
            ("of an address and a client", &[IP, CLIENT], &[("connection_creation_rate", Some(1.0))]),
        ] {
            ask(script, what, ApiKey::AlterClientQuotas, version, move |_| {
                AlterClientQuotasRequest::default().with_entries(vec![entry(parts, changes)])
            });
        }
        ask(script, "the same client twice", ApiKey::AlterClientQuotas, version, |_| {
            let change = |value| entry(&[CLIENT], &[("producer_byte_rate", Some(value))]);
            AlterClientQuotasRequest::default().with_entries(vec![change(3.0), change(4.0)])
        });
        ask(script, "would it be taken", ApiKey::AlterClientQuotas, version, |_| {
            let entries = vec![entry(&[CLIENT], &[("producer_byte_rate", Some(7.0))])];
            AlterClientQuotasRequest::default().with_entries(entries).with_validate_only(true)
        });
    }
    for version in versions(ApiKey::DescribeClientQuotas) {
        for (what, components, strict) in [
            ("of a client", &[("client-id", EXACT, Some("another/one"))][..], false),
            ("of a client that has none", &[("client-id", EXACT, Some("nobody"))], false),
            ("of a user, not of his clients", &[("user", EXACT, Some("someone else"))], true),
            (
                "of any client of a user",
                &[("user", EXACT, Some("someone else")), ("client-id", SPECIFIED, None)],
                false,
            ),
            ("of the default client of any user", &[("user", SPECIFIED, None), ("client-id", DEFAULT, None)], false),
            ("of any client, not of users", &[("client-id", SPECIFIED, None)], true),
            ("of addresses", &[("ip", SPECIFIED, None)], false),
            ("of an address", &[("ip", EXACT, Some("192.0.2.7"))], true),
            ("of an address that has none", &[("ip", EXACT, Some("192.0.2.8"))], false),
            ("of all other addresses", &[("ip", DEFAULT, None)], false),
        ] {
            ask(script, what, ApiKey::DescribeClientQuotas, version, move |_| describe(components, strict));
        }
    }
    for (what, parts, key) in [
        ("a client's goes", &[CLIENT][..], "producer_byte_rate"),
        ("a user's goes", &[USER], "consumer_byte_rate"),
        ("that of a user's clients goes", &[USER, ("client-id", None)], "controller_mutation_rate"),
        ("an address' goes", &[IP], "connection_creation_rate"),
        ("a longer address' goes", &[("ip", Some("2001:db8::7"))], "connection_creation_rate"),
        ("that of all addresses goes", &[("ip", None)], "connection_creation_rate"),
    ] {
        ask(script, what, ApiKey::AlterClientQuotas, 1, move |_| {
            AlterClientQuotasRequest::default().with_entries(vec![entry(parts, &[(key, None)])])
        });
    }
    for version in versions(ApiKey::DescribeClientQuotas) {
        for (what, components) in [
            ("of addresses and users", &[("ip", SPECIFIED, None), ("user", SPECIFIED, None)][..]),
            ("of a kind without a name", &[("", SPECIFIED, None)]),
            ("of a kind that is none", &[("group", SPECIFIED, None)]),
            ("of a kind twice", &[("user", SPECIFIED, None), ("user", DEFAULT, None)]),
            ("of a name that is missing", &[("user", EXACT, None)]),
            ("of a default with a name", &[("user", DEFAULT, Some("u"))]),
            ("of anybody by name", &[("user", SPECIFIED, Some("u"))]),
            ("in a way that is none", &[("user", 7, None)]),
        ] {
            ask(script, what, ApiKey::DescribeClientQuotas, version, move |_| describe(components, false));
        }
    }
    ask(script, "none is left", ApiKey::DescribeClientQuotas, 1, |_| describe(&[], false));
    for (what, users) in [("of all", None), ("of a user", Some(&["u"][..])), ("of a user twice", Some(&["u", "u"]))] {
        ask(script, what, ApiKey::DescribeUserScramCredentials, 0, move |_| {
            let user = |name: &&str| UserName::default().with_name(text(name));
            DescribeUserScramCredentialsRequest::default()
                .with_users(users.map(|users| users.iter().map(user).collect()))
        });
    }
}
