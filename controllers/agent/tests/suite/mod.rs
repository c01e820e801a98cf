//! What the tests on the simulated machine and those on Docker share.

pub(crate) mod engine;
pub(crate) mod hand;
