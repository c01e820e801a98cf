//! Answers to people: why a task is where it is or waits, and why a service's tasks are not on a node.
//!
//! They are computed anew from the world, with the planner's own filters and score, and change nothing.

mod score;
mod why;
mod why_not;

pub use score::{Score, Scored};
pub use why::{Answer, Why};
pub use why_not::{Verdict, WhyNot};
