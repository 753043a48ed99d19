//! How many connections a second an address may open (KIP-612): whoever opens more has those that are too many closed,
//! each after a while in which it is not heard.

use std::net::{IpAddr, Ipv4Addr};

use super::entity::{ClientQuotas, Key, Who};
use super::meter::wait;
use super::recent::Recent;
use super::window::{Samples, Windows};
use crate::config::setting::parse_double;
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;

/// Connections a second, as they were set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArrivalRates {
    pub named: VecMap<IpAddr, f64>,
    /// Of each other address.
    pub others: Option<f64>,
}

impl ArrivalRates {
    pub fn of(quotas: &ClientQuotas) -> ArrivalRates {
        let mut rates = ArrivalRates::default();
        for (whose, set) in quotas.iter() {
            let rate = set.get(Key::ConnectionCreationRate.name()).and_then(|text| parse_double(text));
            match (&whose.ip, rate) {
                (Some(Who::Named(host)), Some(rate)) => {
                    address(host).into_iter().for_each(|address| _ = rates.named.insert(address, rate));
                }
                (Some(Who::Default), rate @ Some(_)) => rates.others = rate,
                _ => {}
            }
        }
        rates
    }
}

/// Whose quota that is. Kafka asks the name service as well; here nothing waits for one, and of the names there is localhost
/// alone.
pub fn address(host: &str) -> Option<IpAddr> {
    match host {
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        address => address.parse().ok().map(|address: IpAddr| address.to_canonical()),
    }
}

/// What came from where.
#[derive(Debug)]
pub struct Arrivals {
    windows: Windows,
    rates: ArrivalRates,
    known: Recent<IpAddr, Samples>,
}

impl Arrivals {
    pub fn new(windows: Windows) -> Arrivals {
        // Whoever has not come for as long as all windows last is as good as new.
        let known = Recent::new(windows.length * windows.count);
        Arrivals { windows, rates: ArrivalRates::default(), known }
    }

    /// These hold from now on.
    pub fn follow(&mut self, rates: ArrivalRates) {
        self.rates = rates;
    }

    /// Somebody has come from there. Where that is too much, it does not count, and is closed after so long.
    ///
    /// Errors: after how long; a window's length at most.
    pub fn came(&mut self, now: Instant, from: IpAddr) -> Result<(), Duration> {
        let from = from.to_canonical();
        let Some(limit) = self.rates.named.get(&from).copied().or(self.rates.others) else { return Ok(()) };
        let came = self.known.of(now, from, |_| Samples::default());
        came.record(self.windows, now, 1.0);
        let (rate, span) = came.rate(self.windows, now);
        let wait = wait(rate, limit, span).min(self.windows.length);
        if wait.is_zero() {
            return Ok(());
        }
        came.record(self.windows, now, -1.0);
        Err(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::QuotaEntity;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    fn arrivals(here: f64, others: Option<f64>) -> Arrivals {
        let mut arrivals = Arrivals::new(Windows { count: 11, length: Duration::from_secs(1) });
        arrivals.follow(ArrivalRates { named: [(HERE, here)].into(), others });
        arrivals
    }

    #[test]
    fn who_comes_too_often_is_told_to_wait_and_does_not_count() {
        let mut arrivals = arrivals(2.0, None);
        let came: Vec<_> = (0..22).map(|_| arrivals.came(at(0), HERE)).collect();
        // Of eleven windows ten count, and so long they allow two a second.
        assert!(came[..20].iter().all(Result::is_ok), "{came:?}");
        assert_eq!(came[20..], [Err(Duration::from_millis(500)), Err(Duration::from_millis(500))]);
        assert_eq!(arrivals.came(at(0), THERE), Ok(()), "there is no limit there");
        assert_eq!(arrivals.came(at(10_500), HERE), Ok(()), "21 in 10.5 seconds");
        assert!(arrivals.came(at(10_500), HERE).is_err());
        assert!((0..20).all(|_| arrivals.came(at(60_000), HERE).is_ok()));
    }

    #[test]
    fn an_address_without_a_rate_of_its_own_has_that_of_the_others_to_itself() {
        let mut arrivals = arrivals(1.0, Some(0.1));
        assert_eq!([arrivals.came(at(0), THERE), arrivals.came(at(0), HERE)], [Ok(()); 2]);
        assert_eq!(arrivals.came(at(0), THERE), Err(Duration::from_secs(1)), "no longer than a window");
        assert_eq!(arrivals.came(at(0), HERE), Ok(()));
        arrivals.follow(ArrivalRates::default());
        assert_eq!(arrivals.came(at(0), THERE), Ok(()));
    }

    #[test]
    fn rates_are_read_from_what_was_set_of_addresses() {
        let set = |path: &str, key: &str, value: &str| {
            (QuotaEntity::from_path(path).unwrap(), [(key.to_owned(), value.to_owned())].into())
        };
        let rate = "connection_creation_rate";
        let quotas = [
            set("ips/10.0.0.1", rate, "5"),
            set("ips/<default>", rate, "7"),
            set("ips/10.0.0.2", "producer_byte_rate", "8"),
            set("ips/10.0.0.3", rate, "many"),
            set("ips/localhost", rate, "6"),
            set("ips/somewhere", rate, "6"),
            set("clients/10.0.0.4", rate, "9"),
        ];
        let rates = ArrivalRates::of(&quotas.into());
        let named = [(IpAddr::from([10, 0, 0, 1]), 5.0), (HERE, 6.0)];
        assert_eq!(rates, ArrivalRates { named: named.into(), others: Some(7.0) });
    }
}
