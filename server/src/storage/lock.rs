//! One server a data directory: Kafka's `.lock`, held for as long as the process lives.

use std::fs::{self, File, OpenOptions};
use std::path::Path;

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The lock; the kernel drops it with the process, however that ends.
pub struct DataLock {
    _file: File,
}

impl DataLock {
    pub fn take(data: &Path) -> anyhow::Result<DataLock> {
        if data.exists() && !data.is_dir() {
            bail!("{} is not a directory", data.display());
        }
        fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
        let path = data.join(".lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(DataLock { _file: file }),
            Err(Errno::WOULDBLOCK) => bail!("another server uses {}", data.display()),
            Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}
