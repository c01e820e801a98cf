//! What the agent says of its machine.

use std::sync::Arc;
use std::time::Duration;

use skep_api::node::NodeReport;
use tokio::time::Instant;

use super::answer::Reply;
use super::{Agent, Alarm};
use crate::change::Change;
use crate::engine::{Disk, EngineError};
use crate::machine::Measured;
use crate::outbox::Subject;

/// How often the disk is measured.
const DISK_INTERVAL: Duration = Duration::from_secs(60);
/// How often the node controller is asked for the time: each time is a write, here and there.
const CLOCK_INTERVAL: Duration = Duration::from_secs(600);

impl Agent {
    /// Says what there is to say of the machine, if it is not said yet.
    pub(super) fn report_machine(&mut self) {
        if let Some(answer) = self.world.clock() {
            self.condition.hear(answer, self.env.now());
        }
        let (Some(machine), Some(created)) = (&self.world.machine, self.world.node_created()) else { return };
        let (told, modified) = self.world.report();
        if self.is_reporting || !self.world.is_synced {
            return;
        }
        let report = NodeReport {
            hostname: self.config.hostname.clone(),
            address: self.config.address.clone(),
            capacity: machine.capacity,
            generic: machine.generic.clone(),
            plugins: machine.plugins.clone(),
            platform: machine.platform.clone(),
            engine: machine.engine.clone(),
            skep_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..self.condition.report(told)
        };
        if told == Some(&report) {
            return;
        }
        let node = (self.config.node.clone(), created);
        let change = Change::Machine { report: report.into(), node, modified };
        self.outbox.put(Subject::Machine, change, true, Instant::now());
    }

    /// Asks the engine how full its disk is, now and then.
    pub(super) fn measure_disk(&mut self) {
        self.alarms.insert(Alarm::Disk, Instant::now() + DISK_INTERVAL);
        let engine = Arc::clone(&self.engine);
        self.calls.push(Box::pin(async move { Reply::Disk(engine.disk().await) }));
    }

    /// An engine that does not answer says nothing about its disk.
    pub(super) fn see_disk(&mut self, result: Result<Option<Disk>, EngineError>) {
        if let Ok(disk) = result {
            self.condition.disk = disk.map_or(Measured::Unseen, Measured::Seen);
        }
    }

    /// Asks the node controller for the time, now and then.
    pub(super) fn ask_for_time(&mut self) {
        self.alarms.insert(Alarm::Clock, Instant::now() + CLOCK_INTERVAL);
        self.condition.ask(self.env.now());
    }
}
