//! What the agent does for one task, case by case, and under every order of events.

mod bench;
mod cases;
mod life;
mod orders;
