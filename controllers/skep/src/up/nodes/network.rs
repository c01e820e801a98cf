//! The network between the nodes of one machine: a bridge, and a namespace for each further node.
//!
//! ```text
//!  machine ── bridge skep-ID 198.19.X.1 ──┬── veth skep-ID-n2 ── eth0 198.19.X.2 in the namespace skep-ID-n2
//!                                         └── veth skep-ID-n3 ── eth0 198.19.X.3 in the namespace skep-ID-n3
//! ```
//!
//! Every step looks first, so that all of it may be done again at any time. What leaves the subnet has the machine's address.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skep_runtime::clock::Env;

use crate::up::UpError;
use crate::up::nodes::LocalNode;
use crate::up::nodes::tool::{run, says_yes};
use crate::up::state::{StateDir, read_json, write_json};

/// Names of namespaces, as `ip netns` keeps them.
const NAMESPACES: &str = "/run/netns";
/// Half of the block for tests of networks (RFC 2544): nobody's addresses, and not among those that Docker draws from.
const BLOCK: [u8; 2] = [198, 19];
/// Tells this part's randomness from others'.
const PURPOSE: u64 = 0x6e77;

/// The network of one state directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network {
    /// Drawn once; it is in every name.
    id: String,
    /// The third byte of its addresses.
    subnet: u8,
}

impl Network {
    /// The network of `state`, if it has one.
    pub(crate) fn known(state: &StateDir) -> Result<Option<Self>, UpError> {
        read_json(&file(state))
    }

    /// The network of `state`, with its bridge; drawn and made as far as it is not there.
    pub(crate) fn ensure(state: &StateDir, env: &Env) -> Result<Self, UpError> {
        let known = Self::known(state)?.filter(|network| network.is_there() || is_free(network.subnet));
        let network = match known {
            Some(network) => network,
            None => Self::draw(env)?,
        };
        write_json(&file(state), &network)?;
        network.make()?;
        Ok(network)
    }

    fn draw(env: &Env) -> Result<Self, UpError> {
        let mut random = env.random(PURPOSE);
        let id = format!("{:05x}", random.u32(..0x10_0000));
        let first = random.u8(..);
        let subnet = (0..=u8::MAX).map(|step| first.wrapping_add(step)).find(|subnet| is_free(*subnet));
        Ok(Self { id, subnet: subnet.ok_or(UpError::NoSubnet)? })
    }

    fn is_there(&self) -> bool {
        has_link(&self.bridge())
    }

    /// The bridge in the machine's own namespace.
    fn bridge(&self) -> String {
        format!("skep-{}", self.id)
    }

    /// The namespace of `node`, and the machine's end of the link to it.
    fn link(&self, node: &LocalNode) -> String {
        format!("skep-{}-{}", self.id, node.name())
    }

    /// Where the namespace of `node` can be entered.
    pub(crate) fn namespace(&self, node: &LocalNode) -> PathBuf {
        Path::new(NAMESPACES).join(self.link(node))
    }

    fn host(&self, last: u32) -> String {
        let [first, second] = BLOCK;
        format!("{first}.{second}.{}.{last}", self.subnet)
    }

    /// The machine's own address in it.
    fn gateway(&self) -> String {
        self.host(1)
    }

    /// Its addresses, as a prefix.
    pub(crate) fn prefix(&self) -> String {
        format!("{}/24", self.host(0))
    }

    /// The address of `node`: its published ports answer there.
    pub(crate) fn address(&self, node: &LocalNode) -> String {
        self.host(node.number())
    }

    /// The firewall's rules: Docker drops what is forwarded unless a rule takes it.
    fn rules(&self) -> [Vec<String>; 3] {
        let words = |text: String| text.split(' ').map(str::to_owned).collect();
        let (bridge, prefix) = (self.bridge(), self.prefix());
        [
            words(format!("filter FORWARD -i {bridge} -j ACCEPT")),
            words(format!("filter FORWARD -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")),
            words(format!("nat POSTROUTING -s {prefix} ! -o {bridge} -j MASQUERADE")),
        ]
    }

    fn make(&self) -> Result<(), UpError> {
        let bridge = self.bridge();
        if !self.is_there() {
            run("ip", &["link", "add", &bridge, "type", "bridge"])?;
        }
        run("ip", &["address", "replace", &format!("{}/24", self.gateway()), "dev", &bridge])?;
        run("ip", &["link", "set", &bridge, "up"])?;
        let forward = Path::new("/proc/sys/net/ipv4/ip_forward");
        fs::write(forward, "1").map_err(UpError::file(forward))?;
        for rule in self.rules() {
            if !iptables("-C", &rule, says_yes) {
                iptables("-I", &rule, run)?;
            }
        }
        Ok(())
    }

    /// Makes the namespace of `node` and the link to it, as far as they are not there.
    pub(crate) fn join(&self, node: &LocalNode) -> Result<(), UpError> {
        let link = self.link(node);
        let path = self.namespace(node);
        if !is_namespace(&path) {
            // A file that is none is what a machine that lost its power between two steps has left.
            let _ = fs::remove_file(&path);
            run("ip", &["netns", "add", &link])?;
        }
        if !has_link(&link) {
            run("ip", &["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &link])?;
        }
        run("ip", &["link", "set", &link, "master", &self.bridge(), "up"])?;
        run("ip", &["-n", &link, "link", "set", "lo", "up"])?;
        let address = format!("{}/24", self.address(node));
        run("ip", &["-n", &link, "address", "replace", &address, "dev", "eth0"])?;
        run("ip", &["-n", &link, "link", "set", "eth0", "up"])?;
        run("ip", &["-n", &link, "route", "replace", "default", "via", &self.gateway()])
    }

    /// Removes the namespace of `node` and the link to it.
    pub(crate) fn leave(&self, node: &LocalNode) -> Result<(), UpError> {
        let link = self.link(node);
        if has_link(&link) {
            run("ip", &["link", "delete", &link])?;
        }
        if self.namespace(node).exists() {
            run("ip", &["netns", "delete", &link])?;
        }
        Ok(())
    }

    /// Removes the bridge and the rules, when no node needs them any more.
    pub(crate) fn remove(&self) -> Result<(), UpError> {
        for rule in self.rules() {
            while iptables("-C", &rule, says_yes) {
                iptables("-D", &rule, run)?;
            }
        }
        if self.is_there() {
            run("ip", &["link", "delete", &self.bridge()])?;
        }
        Ok(())
    }
}

/// Where the network of `state` is remembered.
fn file(state: &StateDir) -> PathBuf {
    state.nodes().join("network.json")
}

/// Does something with a rule: `<table> <chain> <rule>`.
fn iptables<T>(verb: &str, rule: &[String], how: impl FnOnce(&'static str, &[&str]) -> T) -> T {
    let mut words = rule.iter().map(String::as_str);
    let table = words.next().unwrap_or_default();
    let mut args = vec!["-w", "-t", table, verb];
    args.extend(words);
    how("iptables", &args)
}

fn has_link(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// Whether a namespace is mounted at `path`.
fn is_namespace(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    device(path).is_some() && device(path) == device(Path::new("/proc/self/ns/net"))
}

/// Whether this machine has no route into the subnet.
fn is_free(subnet: u8) -> bool {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let [first, second] = BLOCK;
    !overlaps(&routes, u32::from_be_bytes([first, second, subnet, 0]))
}

/// Whether one of `routes`, as the kernel shows them, leads to addresses within `subnet`, which is a /24.
fn overlaps(routes: &str, subnet: u32) -> bool {
    routes.lines().skip(1).any(|route| {
        let fields: Vec<&str> = route.split_whitespace().collect();
        let field = |place: usize| Some(u32::from_str_radix(fields.get(place)?, 16).ok()?.swap_bytes());
        let (Some(destination), Some(mask)) = (field(1), field(7)) else { return false };
        let mask = mask & 0xffff_ff00;
        mask != 0 && destination & mask == subnet & mask
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000713C6\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
wg0\t801013C6\t00000000\t0001\t0\t0\t0\t80FFFFFF\t0\t0\t0
vpn0\t002013C6\t00000000\t0001\t0\t0\t0\t00F0FFFF\t0\t0\t0
";

    #[test]
    fn a_subnet_into_which_a_route_leads_is_not_free() {
        let overlaps = |subnet: u8| overlaps(ROUTES, u32::from_be_bytes([198, 19, subnet, 0]));
        assert!(overlaps(7), "the same subnet");
        assert!(overlaps(16), "a part of it");
        assert!(overlaps(33) && overlaps(47), "a route to more");
        assert!(!overlaps(8) && !overlaps(48), "the default route leads everywhere");
    }

    #[test]
    fn names_fit_into_what_the_kernel_takes_for_a_link() {
        let network = Network { id: "fffff".to_owned(), subnet: 255 };
        let node = LocalNode::new(&StateDir::new("/nowhere"), crate::up::nodes::NODES_MAX);
        assert!(network.link(&node).len() <= 15 && network.bridge().len() <= 15);
        assert_eq!(network.address(&node), "198.19.255.64");
    }
}
