//! What ZooKeeper and its clients say to each other.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Path, SessionId, Zxid};

/// A version that fits any.
pub const ANY_VERSION: i32 = -1;
/// ZooKeeper's `jute.maxbuffer`: no request has more bytes.
pub const MAX_REQUEST: usize = 0xf_ffff;

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToServer {
    Connect(Connect),
    Request { xid: i32, op: Op },
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToClient {
    Connected(Connected),
    /// `zxid` is the newest change that the server has seen.
    Response {
        xid: i32,
        zxid: Zxid,
        result: Result<Reply, Error>,
    },
    Notification(WatchEvent),
}

/// The first thing on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    pub last_zxid_seen: Zxid,
    pub timeout_ms: i32,
    /// [`SessionId::NONE`] asks for a new one.
    pub session: SessionId,
    pub password: Password,
}

/// The answer: a session, or, where `timeout_ms` is 0, that the one that was named is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    pub timeout_ms: i32,
    pub session: SessionId,
    pub password: Password,
}

impl Connected {
    pub const EXPIRED: Connected = Connected { timeout_ms: 0, session: SessionId::NONE, password: Password([0; 16]) };
}

/// What proves that a session is one's own.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Password(pub [u8; 16]);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// The flags of a create.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CreateMode {
    #[default]
    Persistent = 0,
    /// It goes with its session.
    Ephemeral = 1,
    /// Ten digits are put behind the path, which count the children that its parent ever had.
    PersistentSequential = 2,
    EphemeralSequential = 3,
}

impl CreateMode {
    pub fn is_ephemeral(self) -> bool {
        matches!(self, CreateMode::Ephemeral | CreateMode::EphemeralSequential)
    }

    pub fn is_sequential(self) -> bool {
        matches!(self, CreateMode::PersistentSequential | CreateMode::EphemeralSequential)
    }
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Create {
        path: Path,
        data: Option<Bytes>,
        mode: CreateMode,
    },
    /// A create that is answered with the stat too.
    Create2 {
        path: Path,
        data: Option<Bytes>,
        mode: CreateMode,
    },
    Delete {
        path: Path,
        version: i32,
    },
    Exists {
        path: Path,
        watch: bool,
    },
    GetData {
        path: Path,
        watch: bool,
    },
    SetData {
        path: Path,
        data: Option<Bytes>,
        version: i32,
    },
    GetChildren {
        path: Path,
        watch: bool,
    },
    /// Children, with the stat of their parent.
    GetChildren2 {
        path: Path,
        watch: bool,
    },
    /// Of a server of one: nothing. It is here because clients send it.
    Sync {
        path: Path,
    },
    /// That a znode is there in this version. Of use in a [`Op::Multi`] alone.
    Check {
        path: Path,
        version: i32,
    },
    /// All of them, or none.
    Multi(Vec<Op>),
    /// After a new connection: the watches that the session had, and the newest change that the client knows.
    SetWatches {
        relative_zxid: Zxid,
        data: Vec<Path>,
        exist: Vec<Path>,
        child: Vec<Path>,
    },
    /// The access control list, which is the same of every znode: anyone may do anything.
    GetAcl {
        path: Path,
    },
    /// A name and a password. Nothing here is kept from anyone, so that they are not asked for either.
    Auth,
    Ping,
    CloseSession,
    /// One that cannot be done here, or could not be read.
    Refused {
        code: i32,
        error: Error,
    },
}

/// The result of an operation that went well, by the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Create { path: Path },
    Create2 { path: Path, stat: Stat },
    Delete,
    Exists { stat: Stat },
    GetData { data: Option<Bytes>, stat: Stat },
    SetData { stat: Stat },
    GetChildren { children: Vec<Path> },
    GetChildren2 { children: Vec<Path>, stat: Stat },
    Sync { path: Path },
    Check,
    Multi(Result<Vec<Reply>, Failed>),
    SetWatches,
    GetAcl { stat: Stat },
    Auth,
    Ping,
    CloseSession,
}

/// Why nothing of a multi was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Which of its operations, from 0.
    pub at: usize,
    /// How many there are.
    pub of: usize,
    pub error: Error,
}

/// What there is to know of a znode besides its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// The change that created it.
    pub czxid: Zxid,
    /// The change that last set its data.
    pub mzxid: Zxid,
    /// Milliseconds since 1970.
    pub ctime: i64,
    pub mtime: i64,
    /// Changes of its data.
    pub version: i32,
    /// Changes of its children.
    pub cversion: i32,
    /// Changes of its access control list.
    pub aversion: i32,
    pub ephemeral_owner: SessionId,
    /// Bytes.
    pub data_length: i32,
    pub num_children: i32,
    /// The change that last added or removed a child.
    pub pzxid: Zxid,
}

/// Something that a watch waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    pub kind: WatchKind,
    pub path: Path,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchKind {
    NodeCreated = 1,
    NodeDeleted = 2,
    NodeDataChanged = 3,
    NodeChildrenChanged = 4,
}

/// ZooKeeper's `KeeperException.Code`, those that can happen here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Error {
    /// One that has no name here.
    SystemError = -1,
    /// Another operation of the same multi failed before it.
    RuntimeInconsistency = -2,
    /// The connection was lost before the answer came: it may have been done or not.
    ConnectionLoss = -4,
    MarshallingError = -5,
    Unimplemented = -6,
    BadArguments = -8,
    NoNode = -101,
    BadVersion = -103,
    NoChildrenForEphemerals = -108,
    NodeExists = -110,
    NotEmpty = -111,
    SessionExpired = -112,
    InvalidAcl = -114,
    AuthFailed = -115,
}

impl Error {
    pub const ALL: [Error; 14] = [
        Error::SystemError,
        Error::RuntimeInconsistency,
        Error::ConnectionLoss,
        Error::MarshallingError,
        Error::Unimplemented,
        Error::BadArguments,
        Error::NoNode,
        Error::BadVersion,
        Error::NoChildrenForEphemerals,
        Error::NodeExists,
        Error::NotEmpty,
        Error::SessionExpired,
        Error::InvalidAcl,
        Error::AuthFailed,
    ];

    pub fn code(self) -> i32 {
        self as i32
    }

    pub fn from_code(code: i32) -> Option<Error> {
        Error::ALL.into_iter().find(|error| error.code() == code)
    }
}

impl ToClient {
    /// Whether it says that something went wrong. That a znode is not there is an answer like another.
    pub fn is_error(&self) -> bool {
        match self {
            ToClient::Connected(connected) => connected.timeout_ms == 0,
            ToClient::Response { result, .. } => {
                matches!(result, Ok(Reply::Multi(Err(_))))
                    || result.as_ref().is_err_and(|error| *error != Error::NoNode)
            }
            ToClient::Notification(_) => false,
        }
    }
}

impl Op {
    /// The code of the wire and of the log.
    pub fn code(&self) -> i32 {
        match self {
            Op::Create { .. } => code::CREATE,
            Op::Delete { .. } => code::DELETE,
            Op::Exists { .. } => code::EXISTS,
            Op::GetData { .. } => code::GET_DATA,
            Op::SetData { .. } => code::SET_DATA,
            Op::GetChildren { .. } => code::GET_CHILDREN,
            Op::Sync { .. } => code::SYNC,
            Op::Auth => code::AUTH,
            Op::Ping => code::PING,
            Op::GetChildren2 { .. } => code::GET_CHILDREN2,
            Op::Check { .. } => code::CHECK,
            Op::Multi(_) => code::MULTI,
            Op::Create2 { .. } => code::CREATE2,
            Op::SetWatches { .. } => code::SET_WATCHES,
            Op::GetAcl { .. } => code::GET_ACL,
            Op::CloseSession => code::CLOSE_SESSION,
            Op::Refused { code, .. } => *code,
        }
    }

    /// ZooKeeper's name of it.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Create { .. } => "create",
            Op::Create2 { .. } => "create2",
            Op::Delete { .. } => "delete",
            Op::Exists { .. } => "exists",
            Op::GetData { .. } => "getData",
            Op::SetData { .. } => "setData",
            Op::GetChildren { .. } => "getChildren",
            Op::GetChildren2 { .. } => "getChildren2",
            Op::Sync { .. } => "sync",
            Op::Check { .. } => "check",
            Op::Multi(_) => "multi",
            Op::SetWatches { .. } => "setWatches",
            Op::GetAcl { .. } => "getACL",
            Op::Auth => "auth",
            Op::Ping => "ping",
            Op::CloseSession => "closeSession",
            Op::Refused { .. } => "an operation",
        }
    }

    /// The znode that it is about, if it is about one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Op::Create { path, .. }
            | Op::Create2 { path, .. }
            | Op::Delete { path, .. }
            | Op::Exists { path, .. }
            | Op::GetData { path, .. }
            | Op::SetData { path, .. }
            | Op::GetChildren { path, .. }
            | Op::GetChildren2 { path, .. }
            | Op::Sync { path }
            | Op::GetAcl { path }
            | Op::Check { path, .. } => Some(path),
            Op::Multi(_) | Op::SetWatches { .. } | Op::Auth | Op::Ping | Op::CloseSession | Op::Refused { .. } => None,
        }
    }
}

/// ZooKeeper's `ZooDefs.OpCode`.
pub mod code {
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const CREATE_SESSION: i32 = -10;
    pub const CLOSE_SESSION: i32 = -11;
    pub const ERROR: i32 = -1;
}

/// ZooKeeper's word: `NODEEXISTS`.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::SystemError => "SYSTEMERROR",
            Error::RuntimeInconsistency => "RUNTIMEINCONSISTENCY",
            Error::ConnectionLoss => "CONNECTIONLOSS",
            Error::MarshallingError => "MARSHALLINGERROR",
            Error::Unimplemented => "UNIMPLEMENTED",
            Error::BadArguments => "BADARGUMENTS",
            Error::NoNode => "NONODE",
            Error::BadVersion => "BADVERSION",
            Error::NoChildrenForEphemerals => "NOCHILDRENFOREPHEMERALS",
            Error::NodeExists => "NODEEXISTS",
            Error::NotEmpty => "NOTEMPTY",
            Error::SessionExpired => "SESSIONEXPIRED",
            Error::InvalidAcl => "INVALIDACL",
            Error::AuthFailed => "AUTHFAILED",
        })
    }
}

impl std::error::Error for Error {}

impl fmt::Display for WatchKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for WatchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.path)
    }
}

impl fmt::Display for ToServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToServer::Connect(Connect { timeout_ms, session: SessionId::NONE, .. }) => {
                write!(f, "connect, a new session of {timeout_ms} ms")
            }
            ToServer::Connect(Connect { session, .. }) => write!(f, "connect to session {session}"),
            ToServer::Request { op, .. } => op.fmt(f),
        }
    }
}

impl fmt::Display for ToClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToClient::Connected(Connected { timeout_ms: 0, .. }) => f.write_str("the session has expired"),
            ToClient::Connected(Connected { timeout_ms, session, .. }) => {
                write!(f, "connected, session {session} of {timeout_ms} ms")
            }
            ToClient::Response { zxid, result: Ok(reply), .. } => write!(f, "{reply} at {zxid}"),
            ToClient::Response { result: Err(error), .. } => error.fmt(f),
            ToClient::Notification(event) => event.fmt(f),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Some(path) = self.path() {
            write!(f, " {path}")?;
        }
        match self {
            Op::Create { data, mode, .. } | Op::Create2 { data, mode, .. } => {
                match mode {
                    CreateMode::Persistent => {}
                    CreateMode::Ephemeral => f.write_str(" ephemeral")?,
                    CreateMode::PersistentSequential => f.write_str(" sequential")?,
                    CreateMode::EphemeralSequential => f.write_str(" ephemeral sequential")?,
                }
                write!(f, " {} B", len(data))
            }
            Op::SetData { data, version, .. } => {
                write!(f, " {} B", len(data))?;
                if_version(f, *version)
            }
            Op::Delete { version, .. } | Op::Check { version, .. } => if_version(f, *version),
            Op::Exists { watch: true, .. }
            | Op::GetData { watch: true, .. }
            | Op::GetChildren { watch: true, .. }
            | Op::GetChildren2 { watch: true, .. } => f.write_str(" and watch"),
            Op::Multi(ops) => {
                for (at, op) in ops.iter().enumerate() {
                    write!(f, "{} {op}", if at == 0 { ":" } else { "," })?;
                }
                Ok(())
            }
            Op::SetWatches { relative_zxid, data, exist, child } => {
                write!(f, " {} since {relative_zxid}", data.len() + exist.len() + child.len())
            }
            Op::Refused { code, .. } => write!(f, " of type {code}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Create { path } | Reply::Create2 { path, .. } => write!(f, "created {path}"),
            Reply::Delete => f.write_str("deleted"),
            Reply::Exists { stat } => write!(f, "exists in version {}", stat.version),
            Reply::GetData { data, stat } => write!(f, "{} B in version {}", len(data), stat.version),
            Reply::SetData { stat } => write!(f, "set to version {}", stat.version),
            Reply::GetChildren { children } | Reply::GetChildren2 { children, .. } => {
                write!(f, "[{}]", children.join(", "))
            }
            Reply::Sync { path } => write!(f, "synced {path}"),
            Reply::Check => f.write_str("checked"),
            Reply::Multi(Ok(replies)) => write!(f, "all {} done", replies.len()),
            Reply::Multi(Err(failed)) => write!(f, "none done, {} at operation {}", failed.error, failed.at + 1),
            Reply::SetWatches => f.write_str("watches set"),
            Reply::GetAcl { .. } => f.write_str("world:anyone may do anything"),
            Reply::Auth => f.write_str("known"),
            Reply::Ping => f.write_str("ping"),
            Reply::CloseSession => f.write_str("session closed"),
        }
    }
}

fn len(data: &Option<Bytes>) -> usize {
    data.as_ref().map_or(0, Bytes::len)
}

fn if_version(f: &mut fmt::Formatter<'_>, version: i32) -> fmt::Result {
    if version == ANY_VERSION { Ok(()) } else { write!(f, " if version {version}") }
}
