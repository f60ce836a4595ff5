//! Whole runs in the simulator, with everything that happens to a run.
//!
//! Rule: every run ends with the sequential run's model, whatever happened to it. A failing seed says
//! how to replay it: `SEED=n` runs one seed alone and shows its last events (`LINES=n` of them,
//! `WIDTH=n` characters of each); `SEEDS=n` runs another number of seeds.

mod byzantine;
mod faults;
mod federated;
mod support;
mod waste;
