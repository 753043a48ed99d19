//! A server as a page sees it: the same for the simulator and for a live server.

use super::Server;
use super::path;
use crate::view::{FactGroup, Health, ZnodeChild, ZnodeDetail, ZooKeeperView};
use crate::zookeeper::NAME;

impl Server {
    /// What is drawn.
    pub fn view(&self) -> ZooKeeperView {
        ZooKeeperView {
            name: NAME.to_owned(),
            health: Health::Running,
            znodes: self.tree().iter().count() as u32,
            sessions: self.sessions().count() as u32,
            zxid: self.zxid().0,
        }
    }

    /// A znode, if it is there.
    pub fn znode(&self, path: &str) -> Option<ZnodeDetail> {
        let znode = self.tree().get(path).ok()?;
        let child = |name: &super::Path| {
            let stat = self.tree().get(&path::join(path, name)).map(|child| child.stat()).unwrap_or_default();
            ZnodeChild {
                name: name.to_string(),
                children: stat.num_children,
                ephemeral: stat.ephemeral_owner != super::SessionId::NONE,
            }
        };
        Some(ZnodeDetail {
            path: path.to_owned(),
            data: znode.data.as_ref().map(|data| String::from_utf8_lossy(data).into_owned()),
            stat: znode.stat(),
            children: znode.children.iter().map(child).collect(),
        })
    }

    /// What there is to know of it.
    pub fn facts(&self) -> Vec<FactGroup> {
        let group = |title: &str, facts: Vec<(String, String)>| FactGroup { title: title.to_owned(), facts };
        let ephemerals = self.sessions().map(|(id, session)| {
            let paths = self.tree().ephemerals(id).join(", ");
            let held = if paths.is_empty() { "no ephemeral znodes".to_owned() } else { paths };
            let state = if session.conn.is_some() { "connected" } else { "not connected" };
            (id.to_string(), format!("{state}, {} ms, {held}", session.timeout.as_millis()))
        });
        vec![
            group(
                "ZooKeeper",
                vec![
                    ("zxid".to_owned(), self.zxid().to_string()),
                    ("znodes".to_owned(), self.tree().iter().count().to_string()),
                ],
            ),
            group("Sessions", ephemerals.collect()),
        ]
    }
}
