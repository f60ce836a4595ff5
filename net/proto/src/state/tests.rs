//! Tests of a whole peer: what goes in through `State::handle`, and what it wants done.

mod alone;
mod balancing;
mod chapters;
mod copies;
mod lost;
mod means;
mod meeting;
