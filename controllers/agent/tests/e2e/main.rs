//! The agent on this machine's Docker, with a real etcd and the demo image.

mod agent;
mod docker;
mod rig;
