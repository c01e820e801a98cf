//! The scheduler against small clusters in memory: cases by hand, and random ones judged by an oracle of their own.

mod cluster;
mod explaining;
mod oracle;
mod placing;
mod random;
mod staging;
mod waking;
