//! One file for each verb.

pub(crate) mod agent;
pub(crate) mod apply;
pub(crate) mod controller;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod down;
pub(crate) mod edit;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod get;
pub(crate) mod label;
pub(crate) mod logs;
pub(crate) mod node;
pub(crate) mod process;
pub(crate) mod registry;
pub(crate) mod rollout;
pub(crate) mod scale;
pub(crate) mod schema;
pub(crate) mod set;
pub(crate) mod status;
pub(crate) mod system;
pub(crate) mod target;
pub(crate) mod up;
pub(crate) mod validate;
pub(crate) mod wait;
