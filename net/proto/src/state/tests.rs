//! Tests of a whole peer: what goes in through `State::handle`, and what it wants done.

mod balancing;
mod copies;
mod lost;
mod meeting;
