//! Skep as a whole: the simulator.

pub mod sim;
