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
pub(super) const CAST: [Character; 11] = [
    Character { name: "web", replicas: 5, ..PLAIN },
    Character { name: "api", replicas: 3, memory_mib: 64, ..PLAIN },
    Character { name: "big-a", replicas: 3, memory_mib: MEMORY_MIB - 300, ..PLAIN },
    Character { name: "big-b", replicas: 3, memory_mib: MEMORY_MIB - 400, ..PLAIN },
    Character { name: "port-a", replicas: 3, port: 8080, ..PLAIN },
    Character { name: "port-b", replicas: 3, port: 8080, ..PLAIN },
    Character { name: "zoned", replicas: 3, memory_mib: 32, is_zoned: true, ..PLAIN },
    Character { name: "each", mode: Mode::Global, ..PLAIN },
    Character { name: "each-zoned", mode: Mode::Global, is_zoned: true, ..PLAIN },
    Character { name: "import", mode: Mode::ReplicatedJob, replicas: 6, ..PLAIN },
    Character { name: "sweep", mode: Mode::GlobalJob, ..PLAIN },
];

const PLAIN: Character =
    Character { name: "", mode: Mode::Replicated, replicas: 1, memory_mib: 0, port: 0, is_zoned: false };

/// What a service is like.
pub(super) struct Character {
    pub(super) name: &'static str,
    pub(super) mode: Mode,
    /// The most replicas, or completions.
    pub(super) replicas: u32,
    memory_mib: u64,
    port: u16,
    is_zoned: bool,
}

/// What the person wants of one service.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    replicas: u32,
    image: String,
    /// Makes templates differ that are otherwise alike.
    variant: u64,
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
            3 | 4 => self.variant = random.u64(..3),
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
        let Character { name, memory_mib, port, is_zoned, .. } = character;
        let Self { image, variant, delay_ms, attempts, .. } = self;
        // An update that hangs is told of within the time that a run has.
        let mut text = format!(
            "apiVersion: skep/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  {}  restart: {{delay: \
             {delay_ms}ms, maxAttempts: {attempts}, maxDelay: 10s}}\n  task:\n    image: \"{image}\"\n    \
             env: {{VARIANT: \"{variant}\"}}\n",
            self.mode(character)
        );
        // Writing to a String cannot fail.
        if character.is_job() {
            let _ = writeln!(text, "    labels: {{{ENDS}: soon}}");
        }
        if *memory_mib > 0 {
            let _ = writeln!(text, "    resources: {{reservations: {{memory: {memory_mib}Mi}}}}");
        }
        if *port > 0 {
            let _ = writeln!(text, "  ports: [{{target: 80, published: {port}, mode: host}}]");
        }
        if *is_zoned {
            text += "  placement: {constraints: [\"node.labels.zone == a\"]}\n";
        }
        text
    }

    fn mode(&self, character: &Character) -> String {
        let order = if self.is_start_first { "start-first" } else { "stop-first" };
        let update = format!(
            "update: {{parallelism: {}, order: {order}, failureAction: {}, monitor: 2s, deadline: 20s}}\n",
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
