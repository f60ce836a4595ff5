//! The command line: names, flags, help. Definitions only; what a command does lives elsewhere.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{commands::parse_name, config::SpecArgs};

/// Train Forward-Forward networks on the machines people already have.
#[derive(Debug, Parser)]
#[command(name = "ffp2p", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage or input, \
                          3 nothing to export yet, 130 interrupted before the run was done.";

/// What a person can ask for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a node: find peers, take shards, train until the run is complete
    Join(JoinArgs),
    /// Start several nodes on this host and watch them in one terminal
    Up(UpArgs),
    /// Train the same spec alone, in one process, without a network (the reference)
    Train(TrainArgs),
    /// Write the trained model, from any peer or from a node's store
    Export(ExportArgs),
    /// Accuracy of an exported model, by each classifier that its objective has
    Eval(EvalArgs),
    /// What the peers of a run know: who is here, who owns what, how far it is
    Status(StatusArgs),
    /// The runs that are kept on this machine; remove some
    Runs(RunsArgs),
    /// How fast this machine is at what a run does
    Bench(BenchArgs),
    /// Rehearse a run in virtual time: speed-up, traffic and churn for machines you describe
    Sim(SimArgs),
}

/// How a command speaks.
#[derive(Args, Clone, Debug, Default)]
pub struct OutputArgs {
    /// One JSON object a line on stdout instead of a view for people
    #[arg(long)]
    pub json: bool,
    /// Write the trained model to this file when the run is complete
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// How a node finds others.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// Address to listen on [default: port 4477 of every interface, or any free one if it is taken]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Vec<String>,
    /// A peer to connect to, as it says itself when it starts
    #[arg(long, value_name = "HOST:PORT")]
    pub peer: Vec<String>,
    /// Only nodes with the same swarm name meet
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub swarm: String,
    /// Do not look for peers by multicast DNS
    #[arg(long)]
    pub no_mdns: bool,
    /// Folder by which nodes of one host find each other [default: one per user]
    #[arg(long, value_name = "DIR")]
    pub rendezvous: Option<PathBuf>,
}

/// How much a node keeps so that nothing is lost, and when it takes another for gone.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Keeping (no part of the spec: nodes may differ)")]
pub struct KeepArgs {
    /// Other nodes that shall hold each checkpoint besides the one that made it
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub replicas: usize,
    /// Seconds of silence after which a node's shards are taken over
    #[arg(long, value_name = "SECONDS", default_value_t = 2.5)]
    pub silence: f64,
    /// Activation batches kept for whoever takes over, at most
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    pub batch_space: u64,
    /// Checkpoints held beyond which no copies are taken
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    pub copy_space: u64,
}

impl KeepArgs {
    /// The same as flags for another process.
    pub fn to_flags(&self) -> Vec<String> {
        let Self { replicas, silence, batch_space, copy_space } = self;
        let flags = [
            format!("--replicas={replicas}"),
            format!("--silence={silence}"),
            format!("--batch-space={batch_space}"),
            format!("--copy-space={copy_space}"),
        ];
        flags.into()
    }
}

/// `ffp2p join`
#[derive(Args, Clone, Debug)]
pub struct JoinArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub spec: SpecArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub network: NetworkArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub keep: KeepArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
    /// What this node is called [default: this machine's name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub node_name: Option<String>,
    /// Keep checkpoints in this folder, one node at a time, or nowhere (`none`) [default: a folder
    /// of the run's in ~/.local/state/ffp2p/runs]
    #[arg(long, value_name = "DIR|none", verbatim_doc_comment)]
    pub store: Option<PathBuf>,
    /// Threads to train with [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Stop when the run is complete and every peer has the model
    #[arg(long)]
    pub exit_when_done: bool,
    /// Leave when standard input closes: for programs that start nodes
    #[arg(long, hide = true)]
    pub leave_on_eof: bool,
}

/// `ffp2p up`
#[derive(Args, Clone, Debug)]
pub struct UpArgs {
    /// Nodes to start
    #[arg(short, long, value_name = "N", default_value_t = 4)]
    pub nodes: usize,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub spec: SpecArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub network: NetworkArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub keep: KeepArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
    /// What the nodes are called, each with its number behind it [default: this machine's name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub node_name: Option<String>,
    /// Folder above the nodes' stores, or `none` [default: a folder of the run's in
    /// ~/.local/state/ffp2p/runs]
    #[arg(long, value_name = "DIR|none", verbatim_doc_comment)]
    pub store: Option<PathBuf>,
    /// Threads to train with, per node [default: the cores, shared out]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// `ffp2p train`
#[derive(Args, Clone, Debug)]
pub struct TrainArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub spec: SpecArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
    /// Keep checkpoints in this folder, and go on from there, or nowhere (`none`) [default: a folder
    /// of the run's in ~/.local/state/ffp2p/runs]
    #[arg(long, value_name = "DIR|none", verbatim_doc_comment)]
    pub store: Option<PathBuf>,
    /// Threads to train with [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// `ffp2p export`
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Where to write the model
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub json: bool,
    /// Read a node's store instead of asking the LAN and then looking at what is kept here
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Which run, by the first digits of its id, when there are several
    #[arg(long, value_name = "ID")]
    pub run: Option<String>,
    /// Also write who trained which chapters, as JSON
    #[arg(long, value_name = "FILE")]
    pub trained_by: Option<PathBuf>,
    /// Wait for the run to be complete
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub network: NetworkArgs,
}

/// `ffp2p eval`
#[derive(Args, Clone, Debug)]
pub struct EvalArgs {
    /// The exported model
    #[arg(value_name = "FILE")]
    pub model: PathBuf,
    /// Data set whose test half is used, written as for `train --data`
    #[arg(long, value_name = "SET")]
    pub data: String,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub json: bool,
    /// Threads to compute with [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// `ffp2p status`
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
    /// Which run, by the first digits of its id, when there are several
    #[arg(long, value_name = "ID")]
    pub run: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub network: NetworkArgs,
}

/// `ffp2p runs`
#[derive(Args, Clone, Debug)]
pub struct RunsArgs {
    /// What to do; lists the runs without it.
    #[command(subcommand)]
    pub command: Option<RunsCommand>,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub json: bool,
}

/// What can be done with kept runs.
#[derive(Clone, Debug, Subcommand)]
pub enum RunsCommand {
    /// Remove all that is kept of these runs
    Rm {
        /// The first digits of their ids
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
}

/// `ffp2p bench`
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// What to time.
    #[command(subcommand)]
    pub command: BenchCommand,
}

/// What can be timed.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// A training step beside its bare matrix products, by layer and phase
    Step(BenchStepArgs),
}

/// `ffp2p bench step`
#[derive(Args, Clone, Debug)]
pub struct BenchStepArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub spec: SpecArgs,
    /// Threads to train with [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Rounds, of which the middle one counts; each takes about a second
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: u16,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `ffp2p sim`
#[derive(Args, Clone, Debug)]
pub struct SimArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub spec: SpecArgs,
    /// How many nodes: one line for each number
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', default_value = "1,2,4,8")]
    pub nodes: Vec<usize>,
    /// GFLOP/s of the machines' whole training steps, as `bench step` tells; the list is repeated
    /// until every node has one [default: what this machine does, measured now]
    #[arg(long, value_name = "X,X,...", value_delimiter = ',')]
    pub gflops: Vec<f64>,
    /// What joins the machines: lan (1000 Mbit/s), wifi (100 Mbit/s, 3 ms, 0.1 % lost), or
    /// MBIT/MS[/LOSS] of each one's cable, with the milliseconds one way and the loss in percent
    #[arg(long, value_name = "LINK", default_value = "lan")]
    pub link: String,
    /// Crashes of each machine in an hour; it comes back within a minute and has kept nothing
    #[arg(long, value_name = "N", default_value_t = 0.0, allow_negative_numbers = true)]
    pub churn: f64,
    /// The last of the nodes joins when so much of all steps is done; also says how fast the run is
    /// before and after
    #[arg(
        long,
        value_name = "PERCENT",
        conflicts_with = "churn",
        value_parser = clap::value_parser!(u64).range(1..100)
    )]
    pub joins: Option<u64>,
    /// Names every draw of the network and of the crashes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub chance: u64,
    /// Chapters to simulate; the rest follows from their pace [default: some seconds' worth]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub chapters: Option<u64>,
    /// Threads to measure with, where --gflops is not given [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub keep: KeepArgs,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub json: bool,
}
