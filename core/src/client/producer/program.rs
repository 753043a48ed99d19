//! A program in front of a producer, natively: its threads call whenever they like, and one that blocks, for the buffer or for
//! metadata, keeps none of the others waiting.

use std::sync::Arc;

use super::application::{Application, Method};
use super::{Producer, application, name_of};
use crate::client::exception::Exception;
use crate::client::{Call, Effect, Report};

impl Producer {
    /// Nothing is sent, nor any transaction made, but by [`Call`]s.
    pub fn for_program(self) -> Producer {
        Producer { application: Application::of_program(self.application), ..self }
    }

    pub(super) fn called(&mut self, id: u64, call: Call) {
        match call {
            Call::Send { record, blocked } => self.application.send(id, record, blocked),
            Call::InitTransactions => self.application.call(id, Method::InitTransactions),
            Call::Transaction(turn) => self.application.call(id, Method::Transaction(turn)),
            Call::SendOffsets(offsets) => self.application.call(id, Method::SendOffsets(Arc::new(offsets))),
            Call::Flush => self.accumulator.flush(self.application.sent()),
            // Those of consumers.
            Call::Poll | Call::Leave | Call::Subscribe(_) | Call::Assign(_) | Call::Commit { .. } => {}
        }
    }
}

/// A call is done.
pub(super) fn returned(call: &application::MethodCall, out: &mut Vec<Effect>) {
    if let Some(id) = call.id {
        out.push(Effect::Report(Report::Returned { call: id, result: Ok(()) }));
    }
}

/// A call other than send() throws.
pub(super) fn thrown(call: &application::MethodCall, exception: &Exception, out: &mut Vec<Effect>) {
    out.push(Effect::Report(match call.id {
        Some(id) => Report::Returned { call: id, result: Err(exception.clone()) },
        None => Report::Thrown { call: name_of(&call.method), error: exception.to_string() },
    }));
}
