//! Skep's objects: what people write, what controllers write, and the keys under which etcd holds them.
//!
//! Nothing here does I/O or reads a clock. Every reader and writer of the cluster shares these types, their
//! defaults ([`defaults`]) and the one decoder ([`object::Object::decode`]).

pub mod capability;
pub mod cluster;
pub mod code;
pub mod condition;
pub mod constraint;
pub mod container;
pub mod defaults;
pub mod eviction;
pub mod ident;
pub mod image;
pub mod key;
pub mod manifest;
pub mod node;
pub mod object;
pub mod problem;
pub mod quantity;
pub mod ratio;
pub mod record;
pub mod rollout;
pub mod schema;
pub mod service;
pub mod task;
pub mod template;
pub mod time;
pub mod tree;
mod validate;
pub mod volume;
pub mod yaml;
