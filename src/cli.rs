//! The command line: names, flags, help. Definitions only; what a command does lives elsewhere.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{commands::naming::parse_name, config::SpecArgs};

/// Train Forward-Forward networks on the machines people already have.
#[derive(Debug, Parser)]
#[command(name = "ffp2p", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    /// The way out.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage or input, \
                          3 nothing to export yet, 130 interrupted before the run was done.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Join the run that is there, or start one, and train until it is complete
    Join(JoinArgs),
    /// Start several nodes on this host and watch them in one terminal
    Up(UpArgs),
    /// Train the same spec alone, in one process, without a network (the reference)
    Train(TrainArgs),
    /// Write the trained model, from any peer or from a store
    Export(ExportArgs),
    /// Accuracy of an exported model, by each classifier that its objective has
    Eval(EvalArgs),
    /// The peers of a run, what each owns, and its progress
    Status(StatusArgs),
    /// List the runs of this LAN and those that are kept on this machine, or remove some of these
    Runs(RunsArgs),
    /// List the data sets that were fetched from peers, or remove some
    Data(DataArgs),
    /// Measure how fast this machine trains
    Bench(BenchArgs),
    /// Rehearse a run in virtual time: speed-up, traffic and churn for machines you describe
    Sim(SimArgs),
}

/// The output of a command.
#[derive(Args, Clone, Debug, Default)]
pub struct OutputArgs {
    /// One JSON object a line on stdout instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the trained model to this file when the run is complete
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// The network of a node.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// Address to listen on [default: port 4477 of every interface, or any free one if it is taken]
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) listen: Vec<String>,
    /// Peer to connect to, at the address that it prints when it starts
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) peer: Vec<String>,
    /// Only nodes with the same swarm name meet
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) swarm: String,
    /// Do not look for peers by multicast DNS
    #[arg(long)]
    pub(crate) no_mdns: bool,
    /// Folder by which nodes of one host find each other [default: one per user]
    #[arg(long, value_name = "DIR")]
    pub(crate) rendezvous: Option<PathBuf>,
}

/// How much a node keeps so that nothing is lost, and when it considers another one dead.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Keeping (no part of the spec: nodes may differ)")]
pub struct KeepArgs {
    /// Copies of each checkpoint on other nodes
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) replicas: usize,
    /// Seconds of silence after which a node's shards are taken over
    #[arg(long, value_name = "SECONDS", default_value_t = 2.5)]
    pub(crate) silence: f64,
    /// Space for activation batches that are kept for takeovers, at most
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    pub(crate) batch_space: u64,
    /// Space for checkpoints, beyond which no copies for others are taken
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    pub(crate) copy_space: u64,
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

/// The flags that `join` and `up` have in common.
#[derive(Args, Clone, Debug)]
pub struct NodeArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Name of the run, by which others choose it
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub(crate) name: Option<String>,
    /// Name of the node; `up` appends a number to it for each [default: this machine's name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub(crate) node_name: Option<String>,
    /// Keep checkpoints in this folder, in which `up` makes one for each node, or nowhere (`none`)
    /// [default: a folder of the run's in ~/.local/state/ffp2p/runs]
    #[arg(long, value_name = "DIR|none", verbatim_doc_comment)]
    pub(crate) store: Option<PathBuf>,
    /// Threads to train with, per node [default: all cores, which the nodes of `up` share]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

/// `ffp2p join`
#[derive(Args, Clone, Debug)]
pub struct JoinArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// Join this run, by its name or the first digits of its id; its settings come from its peers
    #[arg(long, value_name = "NAME|ID")]
    pub(crate) run: Option<String>,
    /// Start a run even if there is one that could be joined
    #[arg(long, conflicts_with = "run")]
    pub(crate) new: bool,
    /// Stop when the run is complete and every peer has the model
    #[arg(long)]
    pub(crate) exit_when_done: bool,
    /// Leave when standard input closes: for programs that start nodes
    #[arg(long, hide = true)]
    pub(crate) leave_on_eof: bool,
}

/// `ffp2p up`
#[derive(Args, Clone, Debug)]
pub struct UpArgs {
    /// Nodes to start
    #[arg(short, long, value_name = "N", default_value_t = 4)]
    pub(crate) nodes: usize,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// `ffp2p train`
#[derive(Args, Clone, Debug)]
pub struct TrainArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Keep checkpoints in this folder and go on from them, or nowhere (`none`) [default: a folder
    /// of the run's in ~/.local/state/ffp2p/runs]
    #[arg(long, value_name = "DIR|none", verbatim_doc_comment)]
    pub(crate) store: Option<PathBuf>,
    /// Threads to train with [default: all cores]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

/// `ffp2p export`
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Where to write the model
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// Read this store instead of asking the LAN and then looking at the runs that are kept here
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// The run, by its name or the first digits of its id, when there are several
    #[arg(long, value_name = "NAME|ID")]
    pub(crate) run: Option<String>,
    /// Also write who trained which chapters, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) trained_by: Option<PathBuf>,
    /// Wait for the run to be complete
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// `ffp2p eval`
#[derive(Args, Clone, Debug)]
pub struct EvalArgs {
    /// The exported model
    #[arg(value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// Data set whose test half is used, written as for `train --data`
    #[arg(long, value_name = "SET")]
    pub(crate) data: String,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// Threads to compute with [default: all cores]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

/// `ffp2p status`
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// One JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// The run, by its name or the first digits of its id, when there are several
    #[arg(long, value_name = "NAME|ID")]
    pub(crate) run: Option<String>,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// `ffp2p runs`
#[derive(Args, Clone, Debug)]
pub struct RunsArgs {
    /// Lists the runs without it.
    #[command(subcommand)]
    pub(crate) command: Option<RunsCommand>,
    /// List those that are kept on this machine only, and do not listen
    #[arg(long)]
    pub(crate) kept: bool,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// `ffp2p data`
#[derive(Args, Clone, Debug)]
pub struct DataArgs {
    /// Lists the sets without it.
    #[command(subcommand)]
    pub(crate) command: Option<DataCommand>,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// The commands for fetched data sets.
#[derive(Clone, Debug, Subcommand)]
pub enum DataCommand {
    /// List them
    List,
    /// Remove these sets
    Rm {
        /// Their names, or how those begin
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
}

/// The commands for kept runs.
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
    /// The benchmark.
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

/// The benchmarks.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// Time a training step, next to its matrix products alone, by layer and phase
    Step(BenchStepArgs),
}

/// `ffp2p bench step`
#[derive(Args, Clone, Debug)]
pub struct BenchStepArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Threads to train with [default: all cores]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Rounds, of which the median counts; each takes about a second
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
    /// One JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// `ffp2p sim`
#[derive(Args, Clone, Debug)]
pub struct SimArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Numbers of nodes, with one line for each
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', default_value = "1,2,4,8")]
    pub(crate) nodes: Vec<usize>,
    /// GFLOP/s of the machines' whole training steps, as `bench step` prints them; the list is
    /// repeated until every node has one [default: those of this machine, measured now]
    #[arg(long, value_name = "X,X,...", value_delimiter = ',')]
    pub(crate) gflops: Vec<f64>,
    /// Link of each machine: lan (1000 Mbit/s), wifi (100 Mbit/s, 3 ms, 0.1 % lost), or
    /// MBIT/MS[/LOSS], with the milliseconds one way and the loss in percent
    #[arg(long, value_name = "LINK", default_value = "lan")]
    pub(crate) link: String,
    /// Crashes of each machine per hour; it comes back within a minute and has kept nothing
    #[arg(long, value_name = "N", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) churn: f64,
    /// The last of the nodes joins when this much of all steps is done; also prints the speed before
    /// and after
    #[arg(
        long,
        value_name = "PERCENT",
        conflicts_with = "churn",
        value_parser = clap::value_parser!(u64).range(1..100)
    )]
    pub(crate) joins: Option<u64>,
    /// Seed of the simulated network and of the crashes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) sim_seed: u64,
    /// Chapters to simulate; the rest is extrapolated [default: as many as take some seconds]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) chapters: Option<u64>,
    /// Threads to measure with, where --gflops is not given [default: all cores]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
}
