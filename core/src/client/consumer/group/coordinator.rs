//! Who coordinates the group: the broker that leads the partition where it is kept. Any broker knows.

use kafka_protocol::messages::{ApiKey, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Around, Ask, Shared};
use crate::client::Endpoint;
use crate::client::connection::LinkId;
use crate::client::exception::Exception;
use crate::error::ErrorCode;
use crate::time::{Duration, Instant};

/// From this version on several groups can be asked about at once.
const BATCHED: i16 = 4;

/// `Unknown → Asked [find] → Known [told] → Unknown [it says that it is not, or cannot be reached]`
#[derive(Clone, Debug, Default)]
pub struct Coordinator {
    link: Option<LinkId>,
    asked: bool,
    retry_at: Instant,
    /// In a row.
    failures: u32,
    /// It was asked for, and there was nobody to ask.
    waits: bool,
}

impl Coordinator {
    pub fn link(&self) -> Option<LinkId> {
        self.link
    }

    /// Nobody can be found at the moment.
    pub fn is_hopeless(&self) -> bool {
        self.failures > 1
    }

    /// The connection to it; while it is not known, it is asked for.
    pub fn find(&mut self, around: &mut Around<'_>, group: &StrBytes) -> Option<LinkId> {
        if let Some(link) = self.link {
            if !around.network.is_backing_off(around.now, link) {
                return self.link;
            }
            self.link = None;
        }
        if self.asked || self.retry_at > around.now {
            return None;
        }
        let somebody = around.metadata.anybody(around.now, around.network, around.out);
        self.waits = somebody.is_none();
        let somebody = somebody?;
        let body = match around.network.version(somebody, ApiKey::FindCoordinator) {
            Some(BATCHED..) => FindCoordinatorRequest::default().with_coordinator_keys(vec![group.clone()]),
            _ => FindCoordinatorRequest::default().with_key(group.clone()),
        };
        let latest = ApiKey::FindCoordinator.valid_versions().max;
        self.asked =
            around.ask(somebody, ApiKey::FindCoordinator, latest, Ask::Coordinator, Duration::ZERO, body.into());
        None
    }

    /// True where it is known now.
    pub fn told(&mut self, around: &mut Around<'_>, shared: &mut Shared, body: FindCoordinatorResponse) -> bool {
        self.asked = false;
        let (code, host, port) = match body.coordinators.into_iter().next() {
            Some(one) => (one.error_code, one.host, one.port),
            None => (body.error_code, body.host, body.port),
        };
        match ErrorCode::try_from_code(code) {
            None => {
                let to = Endpoint { host: host.to_string(), port: port as u16 };
                let link = around.network.link_apart(&to);
                if around.network.is_backing_off(around.now, link) {
                    // Whoever answers does not know yet that it is gone: to ask again at once gives the same answer.
                    self.lost(around);
                    return false;
                }
                self.link = Some(link);
                self.failures = 0;
                true
            }
            Some(error @ (ErrorCode::GroupAuthorizationFailed | ErrorCode::InvalidGroupId)) => {
                shared.fail(around, Exception::of(error, None));
                false
            }
            Some(_) => {
                self.lost(around);
                false
            }
        }
    }

    pub fn lost(&mut self, around: &mut Around<'_>) {
        self.asked = false;
        self.retry_at = around.retry_at(self.failures);
        self.failures += 1;
    }

    /// It is not, or not any more, or is not heard of.
    pub fn forget(&mut self) {
        self.link = None;
    }

    /// Whether an error says that it is somebody else; then it is forgotten.
    pub fn is_elsewhere(&mut self, error: ErrorCode) -> bool {
        let elsewhere = matches!(error, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable);
        if elsewhere {
            self.forget();
        }
        elsewhere
    }

    pub fn deadline(&self) -> Option<Instant> {
        (self.link.is_none() && !self.asked && !self.waits).then_some(self.retry_at)
    }
}
