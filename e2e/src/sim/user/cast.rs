//! The services that a simulated person may have, and what is wanted of each at a time.

use std::fmt::Write as _;

use skep_api::service::Mode;

use super::super::machine::{ENDS, MEMORY_MIB};

/// The versions of the image that are in the registry.
pub(crate) const IMAGE_VERSIONS: std::ops::RangeInclusive<u64> = 1..=4;
/// An image that no registry has: an update to it fails.
pub(super) const NOWHERE: &str = "app:9";
/// What takes its place in the end.
pub(super) const SOMEWHERE: &str = "app:1";

/// The services that there may be. Some pairs exclude each other: `big-*` fill a machine, `port-*` want the same port.
pub(super) const CAST: [Character; 21] = [
    Character { name: "web", replicas: 5, ..PLAIN },
    Character { name: "api", replicas: 3, memory_mib: 64, ..PLAIN },
    Character { name: "big-a", replicas: 3, memory_mib: MEMORY_MIB - 300, ..PLAIN },
    Character { name: "big-b", replicas: 3, memory_mib: MEMORY_MIB - 400, ..PLAIN },
    Character { name: "port-a", replicas: 3, port: 8080, ..PLAIN },
    Character { name: "port-b", replicas: 3, port: 8080, ..PLAIN },
    Character { name: "zoned", replicas: 3, memory_mib: 32, placement: IN_ZONE_A, ..PLAIN },
    Character { name: "each", mode: Mode::Global, ..PLAIN },
    Character { name: "each-zoned", mode: Mode::Global, placement: IN_ZONE_A, ..PLAIN },
    Character { name: "import", mode: Mode::ReplicatedJob, replicas: 6, ..PLAIN },
    Character { name: "sweep", mode: Mode::GlobalJob, ..PLAIN },
    Character { name: "gpu", replicas: 4, generic: "GPU: 1", placement: "strategy: binpack", ..PLAIN },
    Character { name: "gpus", replicas: 2, generic: "GPU: 2, SSD: 1", ..PLAIN },
    Character { name: "single", replicas: 5, placement: "maxReplicasPerNode: 1, strategy: random", ..PLAIN },
    Character { name: "even", replicas: 6, placement: "spread: [node.labels.zone]", ..PLAIN },
    Character { name: "evened", replicas: 6, placement: EVENED, ..PLAIN },
    Character { name: "picky", replicas: 3, placement: PICKY, ..PLAIN },
    Character { name: "lonely", replicas: 3, placement: LONELY, ..PLAIN },
    Character { name: "near", replicas: 3, placement: "affinity: [{with: web}]", ..PLAIN },
    Character {
        name: "nfs",
        replicas: 2,
        task: "mounts: [{type: volume, target: /data, driver: nfs}]",
        ..PLAIN
    },
    Character { name: "stored", replicas: 2, task: STORED, has_volume: true, ..PLAIN },
];

const IN_ZONE_A: &str = r#"constraints: ["node.labels.zone == a"]"#;
const PICKY: &str =
    r#"constraints: ["node.labels.zone not in (b, c)", "node.platform.os == lin*", "node.labels.rack < 3"]"#;
const EVENED: &str = "spread: [node.labels.zone], rebalance: whenIdle";
const LONELY: &str = "affinity: [{apart: web}, {apart: lonely, level: node.labels.rack}]";
const STORED: &str = "mounts: [{type: volume, source: data, target: /data}]";

const PLAIN: Character = Character {
    name: "",
    mode: Mode::Replicated,
    replicas: 1,
    memory_mib: 0,
    port: 0,
    generic: "",
    placement: "",
    task: "",
    has_volume: false,
};

/// What a service is like.
pub(super) struct Character {
    pub(super) name: &'static str,
    pub(super) mode: Mode,
    /// The most replicas, or completions.
    pub(super) replicas: u32,
    memory_mib: u64,
    port: u16,
    /// What it reserves of generic resources.
    generic: &'static str,
    /// What is in `placement`.
    placement: &'static str,
    /// One more line of `task`.
    task: &'static str,
    /// Whether it mounts the volume `data`.
    pub(super) has_volume: bool,
}

/// What the person wants of one service.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    replicas: u32,
    image: String,
    /// Makes templates differ that are otherwise alike.
    variant: u64,
    /// A label that the template names.
    tier: u64,
    delay_ms: u64,
    parallelism: u32,
    is_start_first: bool,
    action: &'static str,
    /// How often a task is followed; 0 is always.
    attempts: u32,
}

impl Character {
    fn is_job(&self) -> bool {
        matches!(self.mode, Mode::ReplicatedJob | Mode::GlobalJob)
    }
}

impl Wish {
    /// What is wanted at first.
    pub(super) fn draw(character: &Character, random: &mut fastrand::Rng) -> Self {
        Self {
            replicas: random.u32(1..=character.replicas),
            image: image(random),
            variant: 0,
            tier: 0,
            delay_ms: random.choice([0, 500, 2000]).unwrap_or_default(),
            parallelism: random.u32(0..3),
            is_start_first: random.bool(),
            action: random.choice(["pause", "continue", "rollback"]).unwrap_or_default(),
            attempts: if character.is_job() { 20 } else { 0 },
        }
    }

    /// Wants something else.
    pub(super) fn change(&mut self, character: &Character, random: &mut fastrand::Rng) {
        match random.u32(..10) {
            0 => NOWHERE.clone_into(&mut self.image),
            1 | 2 => self.image = image(random),
            3 => self.variant = random.u64(..3),
            4 => self.tier = random.u64(..3),
            5 => {
                self.parallelism = random.u32(0..3);
                self.is_start_first = random.bool();
            }
            6 => self.action = random.choice(["pause", "continue", "rollback"]).unwrap_or_default(),
            _ => self.replicas = random.u32(u32::from(character.is_job())..=character.replicas),
        }
    }

    /// As the person writes it.
    pub(super) fn manifest(&self, character: &Character) -> String {
        let Character { name, memory_mib, port, generic, placement, task, .. } = character;
        let Self { image, variant, tier, delay_ms, attempts, .. } = self;
        // An update that hangs is told of within the time that a run has.
        let mut text = format!(
            "apiVersion: skep/v1\nkind: Service\nmetadata: {{name: {name}, labels: {{tier: \"{tier}\"}}}}\nspec:\n  \
             {}  restart: {{delay: {delay_ms}ms, maxAttempts: {attempts}, maxDelay: 10s}}\n  task:\n    image: \
             \"{image}\"\n    env: {{VARIANT: \"{variant}\", TIER: \"{{{{.Service.Labels.tier}}}}\"}}\n",
            self.mode(character)
        );
        // Writing to a String cannot fail.
        if character.is_job() {
            let _ = writeln!(text, "    labels: {{{ENDS}: soon}}");
        }
        if *memory_mib > 0 {
            let _ = writeln!(text, "    resources: {{reservations: {{memory: {memory_mib}Mi}}}}");
        }
        if !generic.is_empty() {
            let _ = writeln!(text, "    resources: {{reservations: {{generic: {{{generic}}}}}}}");
        }
        if !task.is_empty() {
            let _ = writeln!(text, "    {task}");
        }
        if *port > 0 {
            let _ = writeln!(text, "  ports: [{{target: 80, published: {port}, mode: host}}]");
        }
        if !placement.is_empty() {
            let _ = writeln!(text, "  placement: {{{placement}}}");
        }
        text
    }

    fn mode(&self, character: &Character) -> String {
        let order = if self.is_start_first { "start-first" } else { "stop-first" };
        let update = format!(
            "update: {{parallelism: {}, order: {order}, failureAction: {}, monitor: 2s, deadline: 20s}}\n  rollback: \
             {{monitor: 2s, deadline: 20s}}\n",
            self.parallelism, self.action
        );
        match character.mode {
            Mode::Replicated => format!("replicas: {}\n  {update}", self.replicas),
            Mode::Global => format!("mode: global\n  {update}"),
            Mode::ReplicatedJob => {
                format!("mode: replicated-job\n  job: {{completions: {}, maxConcurrent: 2}}\n", self.replicas)
            }
            Mode::GlobalJob => "mode: global-job\n".to_owned(),
        }
    }
}

fn image(random: &mut fastrand::Rng) -> String {
    format!("app:{}", random.u64(IMAGE_VERSIONS))
}

/// The volume `data`, which is on machine number `index` only.
pub(super) fn volume(index: u32) -> String {
    format!("apiVersion: skep/v1\nkind: Volume\nmetadata: {{name: data}}\nspec: {{node: agent-{index}}}\n")
}

/// What holds for services that do not say otherwise.
pub(super) fn cluster(random: &mut fastrand::Rng) -> String {
    let strategy = random.choice(["spread", "binpack", "random"]).unwrap_or_default();
    let rebalance = random.choice(["never", "whenIdle"]).unwrap_or_default();
    format!(
        "apiVersion: skep/v1\nkind: Cluster\nspec: {{placement: {{strategy: {strategy}, rebalance: {rebalance}}}}}\n"
    )
}
