//! etcd's errors, word for word.

use tonic::{Code, Status};

use super::mvcc::RevisionError;

pub(crate) fn empty_key() -> Status {
    Status::new(Code::InvalidArgument, "etcdserver: key is not provided")
}

pub(crate) fn key_not_found() -> Status {
    Status::new(Code::InvalidArgument, "etcdserver: key not found")
}

pub(crate) fn value_provided() -> Status {
    Status::new(Code::InvalidArgument, "etcdserver: value is provided")
}

pub(crate) fn lease_provided() -> Status {
    Status::new(Code::InvalidArgument, "etcdserver: lease is provided")
}

pub(crate) fn too_many_ops() -> Status {
    Status::new(Code::InvalidArgument, "etcdserver: too many operations in txn request")
}

pub(crate) fn duplicate_key() -> Status {
    Status::new(Code::InvalidArgument, "etcdserver: duplicate key given in txn request")
}

pub(crate) fn too_large() -> Status {
    Status::new(Code::InvalidArgument, "etcdserver: request is too large")
}

pub(crate) fn longer_than_grpc_takes(size: usize, limit: usize) -> Status {
    Status::new(
        Code::ResourceExhausted,
        format!("grpc: received message larger than max ({size} vs. {limit})"),
    )
}

pub(crate) fn no_space() -> Status {
    Status::new(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded")
}

pub(crate) fn lease_not_found() -> Status {
    Status::new(Code::NotFound, "etcdserver: requested lease not found")
}

pub(crate) fn lease_exists() -> Status {
    Status::new(Code::FailedPrecondition, "etcdserver: lease already exists")
}

pub(crate) fn lease_ttl_too_large() -> Status {
    Status::new(Code::OutOfRange, "etcdserver: too large lease TTL")
}

pub(crate) fn stopped() -> Status {
    Status::new(Code::Unavailable, "etcdserver: server stopped")
}

pub(crate) fn of_revision(error: RevisionError) -> Status {
    Status::new(
        Code::OutOfRange,
        match error {
            RevisionError::Compacted => "etcdserver: mvcc: required revision has been compacted",
            RevisionError::Future => "etcdserver: mvcc: required revision is a future revision",
        },
    )
}

/// What this fake leaves out, because Skep does not use it.
pub(crate) fn left_out(what: &str) -> Status {
    Status::new(Code::Unimplemented, format!("the fake etcd has no {what}"))
}
