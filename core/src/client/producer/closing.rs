//! close(): what was handed over is still sent, and a transaction that is open is aborted.
//!
//! ```text
//! Open → Sending [close] → Aborting [all is sent, and a transaction is open] → Closed
//! ```
//!
//! 1. As Kafka's, it has all the time in the world: a producer that reaches nobody is closed when `delivery.timeout.ms` has
//!    passed for what it has, and not before its open transaction could be aborted.

use super::application::Method;
use super::transaction::TransactionManager;
use super::{Effect, Producer, program};
use crate::client::exception::Exception;
use crate::client::{Report, TransactionStage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Open,
    Sending,
    Aborting,
    Closed,
}

impl Producer {
    /// What waits behind a call that blocks comes to nothing.
    pub(super) fn close(&mut self, out: &mut Vec<Effect>) {
        if self.life != Life::Open {
            return;
        }
        self.life = Life::Sending;
        self.sender.hurries = true;
        self.accumulator.give_up_waiting();
        for call in self.application.close() {
            let exception = match (&call.method, call.blocked) {
                (Method::Send(..), Some(_)) => Exception::kafka("Producer closed while send in progress"),
                _ => closed(),
            };
            match &call.method {
                Method::Send(..) => self.refuse(&call, -1, (false, &exception), out),
                // An application by itself asks for its transactional id, and is not told any more.
                Method::InitTransactions if call.id.is_none() => {}
                _ => program::thrown(&call, &exception, out),
            }
        }
    }

    /// Goes on closing; true where there is something to send.
    pub(super) fn closing(&mut self, out: &mut Vec<Effect>) -> bool {
        let open = |manager: &&mut TransactionManager| manager.has_ongoing_transaction();
        match self.life {
            Life::Open | Life::Closed => return false,
            Life::Sending => {
                let waits = self.accumulator.waiting().next().is_some() || self.application.waiting() > 0;
                if waits || self.sender.in_flight() > 0 || self.network.all_in_flight() > 0 {
                    return false;
                }
                if let Some(manager) = self.sender.transactions.as_deref_mut().filter(open) {
                    // What was asked for comes to its end, although the call for it timed out.
                    if manager.is_completing() {
                        return false;
                    }
                    manager.forget_pending();
                    self.life = Life::Aborting;
                    out.push(Effect::Report(Report::Note(
                        "Aborting incomplete transaction due to shutdown".to_owned(),
                    )));
                    out.push(Effect::Report(Report::Transaction(TransactionStage::Aborting)));
                    if manager.abort().is_none() {
                        return true;
                    }
                }
            }
            Life::Aborting => {
                let Some(outcome) = self.sender.transactions.as_deref_mut().map(TransactionManager::abort) else {
                    return false;
                };
                match outcome {
                    None => return false,
                    Some(Ok(())) => {
                        self.counts.aborted += 1;
                        out.push(Effect::Report(Report::Transaction(TransactionStage::Aborted)));
                    }
                    // Whoever has taken the transactional id over has aborted it.
                    Some(Err(exception)) => out.push(Effect::Report(Report::Note(exception.to_string()))),
                }
            }
        }
        self.life = Life::Closed;
        out.push(Effect::Report(Report::Closed));
        false
    }
}

/// What a call gets that comes later.
pub(super) fn closed() -> Exception {
    Exception::illegal_state("Cannot perform operation after producer has been closed")
}
