//! Many nodes in one thread and in virtual time, on a network that is no kinder than a real one.
//!
//! A [`Scenario`] is data: a plan, machines, weather, and a schedule of faults. [`World`] runs it
//! in two phases, the faults and then the healing, and checks after every event what must hold.
//! Training is replaced by hashes ([`FakeTraining`]), so that "the same model as the sequential run"
//! is checked for every checkpoint and every batch, not just for the last ones.
//!
//! Rule: everything follows from the scenario. Events are ordered by time and then by the order
//! in which they were planned; the same scenario gives the same trace, to the letter.
//!
//! The map:
//!
//! - `scenario`, `draws` and `faults`: a run as data; `schedule` and `events`: what is yet to happen.
//! - `machine`: nodes and their trainers; `network`: everything between them; `mathematics`: what
//!   they compute.
//! - `stage`: what all parts share; `world` drives them.
//! - `checks`: the rules that must hold; `report`: the result.
//! - `forecast`: costs, for a run that is predicted and not checked.

mod checks;
mod clock;
mod draws;
mod events;
mod faults;
mod forecast;
mod machine;
mod mathematics;
mod network;
mod report;
mod rng;
mod scenario;
mod schedule;
mod stage;
mod trace;
mod world;

pub use faults::{Fault, When};
pub use forecast::costs::Costs;
pub use forecast::message_size::idle_heartbeat_bytes;
pub use forecast::outcome::{Forecast, Part};
pub use mathematics::Mathematics;
pub use mathematics::digest::model_hash;
pub use mathematics::fake_training::FakeTraining;
pub use mathematics::shapes::Shapes;
pub use network::weather::Weather;
pub use report::{Failure, Report, Trained};
pub use rng::Rng;
pub use scenario::{Machine, Scenario, Sent, Tap};
pub use world::World;
