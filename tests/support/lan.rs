//! A LAN of its own for a test: one switch, one network namespace per node, a cable between each
//! and the switch, which a test can pull, and a firewall.
//!
//! Rule: it needs no rights beyond those of an ordinary user (a user namespace stands in for
//! root), and it leaves nothing behind however the test ends: each namespace lives as long as a
//! process that reads a pipe of the test's.

use std::{
    io::{Read, Write},
    process::{Child, Command, Output, Stdio},
};

/// The addresses of the nodes of a LAN.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Addresses {
    /// IPv4, and the link-local ones that the system makes by itself.
    V4,
    /// IPv6 only, for the LAN and link-local.
    V6,
    /// Link-local ones of IPv6 only.
    LinkLocal,
    /// None but those of loopback.
    Nothing,
}

impl Addresses {
    /// The addresses of a node.
    fn of(self, number: usize) -> Vec<String> {
        let number = number + 1;
        match self {
            Self::V4 => vec![format!("{}/24", address(number - 1))],
            Self::V6 => vec![format!("fd77::{number}/64"), format!("fe80::{number}/64")],
            Self::LinkLocal => vec![format!("fe80::{number}/64")],
            Self::Nothing => vec![],
        }
    }
}

/// One namespace.
#[derive(Debug)]
struct Place {
    /// Ends, and its namespace with it, when its input does.
    keeper: Child,
}

/// The traffic that a firewall blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wall {
    /// Connections that others open.
    Incoming,
    /// Multicast DNS on its way out, of which the sender is told.
    Multicast,
}

impl Wall {
    fn rules(self) -> String {
        let (hook, rule) = match self {
            Self::Incoming => ("input", "tcp flags & (syn | ack) == syn drop"),
            Self::Multicast => ("output", "udp dport 5353 drop"),
        };
        format!(
            "table inet test {{\n chain test {{ type filter hook {hook} priority 0; {rule}; }}\n}}\n"
        )
    }
}

/// The switch and the places of the nodes.
#[derive(Debug)]
pub(crate) struct Lan {
    switch: Place,
    nodes: Vec<Place>,
    /// Whether the caller is root in its own right.
    is_root: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

impl Place {
    /// A namespace that `unshare` (perhaps inside another one) makes.
    fn make(mut unshare: Command) -> Result<Self, String> {
        unshare.args(["sh", "-c", "echo here; exec cat"]);
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut keeper = unshare.spawn().map_err(|error| format!("unshare: {error}"))?;
        let mut word = [0; 4];
        let said = keeper.stdout.as_mut().map(|out| out.read_exact(&mut word));
        let place = Self { keeper };
        match said {
            Some(Ok(())) => Ok(place),
            _ => Err("a network namespace cannot be made here".to_owned()),
        }
    }

    /// A command line that runs what follows it inside.
    fn enter(&self, is_root: bool) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.keeper.id().to_string()).arg("--net");
        if !is_root {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--");
        command
    }

    fn ip(&self, is_root: bool, words: &str) -> Result<(), String> {
        let output = self.enter(is_root).arg("ip").args(words.split(' ')).output();
        good(&format!("ip {words}"), output)
    }
}

fn good(what: &str, output: std::io::Result<Output>) -> Result<(), String> {
    let output = output.map_err(|error| format!("{what}: {error}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{what}: {error}")) }
}

/// Without what it needs a test cannot say anything, which it does loudly; on the build machine
/// that is a failure.
fn tell<T>(made: Result<T, String>) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        Err(reason) => {
            let is_gate = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!is_gate, "no LAN to test in: {reason}");
            // Past the harness, which shows what a good test prints to nobody.
            let _ = writeln!(std::io::stderr(), "NOT TESTED: no LAN to test in: {reason}");
            None
        }
    }
}

impl Lan {
    /// A LAN for `nodes` nodes; why not, when this system makes none.
    fn try_new(nodes: usize, addresses: Addresses) -> Result<Self, String> {
        let plain = Command::new("unshare").args(["--net", "true"]).status();
        let is_root = plain.is_ok_and(|status| status.success());
        let mut unshare = Command::new("unshare");
        unshare.arg("--net");
        if !is_root {
            unshare.args(["--user", "--map-root-user"]);
        }
        let switch = Place::make(unshare)?;
        switch.ip(is_root, "link add lan type bridge")?;
        switch.ip(is_root, "link set lan up")?;
        let mut lan = Self { switch, nodes: Vec::new(), is_root };
        for number in 0..nodes {
            lan.plug_in(number, addresses)?;
        }
        Ok(lan)
    }

    fn plug_in(&mut self, number: usize, addresses: Addresses) -> Result<(), String> {
        let mut unshare = self.switch.enter(self.is_root);
        unshare.args(["unshare", "--net"]);
        let node = Place::make(unshare)?;
        let (root, pid) = (self.is_root, node.keeper.id());
        // One for containers, which came first, so that the system prefers it; it leads nowhere.
        node.ip(root, "link add inner type bridge")?;
        node.ip(root, "link set inner addrgenmode none")?;
        node.ip(root, "link set inner up")?;
        let cable = format!("link add port{number} type veth peer name eth0 netns {pid}");
        self.switch.ip(root, &cable)?;
        self.switch.ip(root, &format!("link set port{number} master lan up"))?;
        node.ip(root, "link set lo up")?;
        if !matches!(addresses, Addresses::V4) {
            node.ip(root, "link set eth0 addrgenmode none")?;
        }
        for address in addresses.of(number) {
            // Nobody else has it: there is no need to wait until that is known.
            let at_once = if address.contains(':') { " nodad" } else { "" };
            node.ip(root, &format!("addr add {address} dev eth0{at_once}"))?;
        }
        node.ip(root, "link set eth0 up")?;
        self.nodes.push(node);
        Ok(())
    }

    /// A LAN for `nodes` nodes; none where the test cannot say anything.
    pub(crate) fn new(nodes: usize) -> Option<Self> {
        Self::with(nodes, Addresses::V4)
    }

    /// The same with other addresses.
    pub(crate) fn with(nodes: usize, addresses: Addresses) -> Option<Self> {
        tell(Self::try_new(nodes, addresses))
    }

    /// A command line that runs what follows it as node `number`.
    pub(crate) fn enter(&self, number: usize) -> Command {
        self.nodes[number].enter(self.is_root)
    }

    /// Puts a firewall up at a node; why not, when this system cannot.
    fn try_firewall(&self, number: usize, wall: Wall) -> Result<(), String> {
        let mut command = self.enter(number);
        command.args(["nft", "-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut nft = command.spawn().map_err(|error| format!("nft: {error}"))?;
        let mut rules = nft.stdin.take().ok_or("nft takes no rules")?;
        rules.write_all(wall.rules().as_bytes()).map_err(|error| format!("nft: {error}"))?;
        drop(rules);
        good("nft", nft.wait_with_output())
    }

    /// Puts a firewall up at a node. False where the test cannot say anything.
    pub(crate) fn firewall(&self, number: usize, wall: Wall) -> bool {
        tell(self.try_firewall(number, wall)).is_some()
    }

    /// Pulls the cable of a node: nothing passes, and nobody is told.
    pub(crate) fn cut(&self, number: usize) {
        self.switch.ip(self.is_root, &format!("link set port{number} down")).unwrap();
    }

    /// Puts the cable back.
    pub(crate) fn heal(&self, number: usize) {
        self.switch.ip(self.is_root, &format!("link set port{number} up")).unwrap();
    }
}

/// The IPv4 address of a node.
pub(crate) fn address(number: usize) -> String {
    format!("10.77.0.{}", number + 1)
}
