//! Skep's objects: what people write, what controllers write, and the keys under which etcd holds them.
//!
//! Nothing here does I/O or reads a clock. Every reader and writer of the cluster shares these types, their
//! defaults ([`defaults`]) and the one decoder ([`object::Object::decode`]).

pub mod condition;
pub mod container;
pub mod defaults;
pub mod ident;
pub mod key;
pub mod manifest;
pub mod node;
pub mod object;
pub mod quantity;
pub mod ratio;
pub mod record;
pub mod rollout;
pub mod service;
pub mod task;
pub mod time;
pub mod yaml;
