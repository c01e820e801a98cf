//! From gRPC's codes and etcd's texts to [`Error`]: nothing above this file sees a code.
//!
//! The code alone says too little: `Unavailable` covers a refused connection (never sent) and a lost one
//! (unknown), `OutOfRange` a compacted revision and a message that is too long for the client.

use etcd_client::Error as ClientError;
use tonic::{Code, Status};

use crate::error::Error;
use crate::txn::REQUEST_MAX_BYTES;

/// etcd's texts for requests that it turned down before they reached its log.
const NOT_APPLIED: [&str; 6] = [
    "revision of auth store is old",
    "too many requests",
    "no leader",
    "not leader",
    "not capable",
    "invalid auth token",
];

/// The tonic client's text for an answer above its decode limit.
const DECODE_LIMIT: &str = "decoded message length too large";

/// The class of a failed write.
pub(crate) fn of_write(error: &ClientError) -> Error {
    match error {
        ClientError::GRpcStatus(status) => of_status(status),
        ClientError::TransportError(source) => {
            if is_connect_error(source) {
                Error::NotApplied { reason: chain(source) }
            } else {
                Error::Ambiguous { reason: chain(source) }
            }
        }
        ClientError::LeaseKeepAliveError(_) => Error::LeaseGone,
        ClientError::WatchError(reason) => Error::Ambiguous { reason: reason.clone() },
        ClientError::IoError(source) => Error::Ambiguous { reason: source.to_string() },
        ClientError::InvalidArgs(_)
        | ClientError::InvalidUri(_)
        | ClientError::Utf8Error(_)
        | ClientError::ElectError(_)
        | ClientError::InvalidMetadataValue(_)
        | ClientError::EndpointError(_)
        | ClientError::EndpointsNotManaged
        | ClientError::Internal(_) => Error::Invalid { reason: error.to_string() },
    }
}

/// The class of a failed read.
pub(crate) fn of_read(error: &ClientError) -> Error {
    of_write(error).of_read()
}

/// Whether an answer was longer than the client decodes: ask for less, and do not list again.
pub(crate) fn is_decode_limit(error: &ClientError) -> bool {
    matches!(error, ClientError::GRpcStatus(status) if status.message().contains(DECODE_LIMIT))
}

/// Whether a read asked for a revision that the store has not reached: it went back in time.
pub(crate) fn is_future_revision(error: &ClientError) -> bool {
    matches!(error, ClientError::GRpcStatus(status) if status.message().contains("is a future revision"))
}

/// Whether a lease with the id that was asked for exists already.
pub(crate) fn is_lease_taken(error: &ClientError) -> bool {
    matches!(error, ClientError::GRpcStatus(status) if status.message().contains("lease already exists"))
}

fn of_status(status: &Status) -> Error {
    let text = status.message();
    let reason = || text.to_owned();
    if is_connect_error(status) || NOT_APPLIED.iter().any(|known| text.contains(known)) {
        return Error::NotApplied { reason: describe(status) };
    }
    match status.code() {
        Code::NotFound if text.contains("lease not found") => Error::LeaseGone,
        Code::OutOfRange if text.contains("has been compacted") => Error::Compacted(0),
        Code::ResourceExhausted if text.contains("database space exceeded") => Error::NoSpace,
        Code::InvalidArgument if text.contains("request is too large") => too_large(),
        Code::ResourceExhausted if text.contains("message larger than max") => too_large(),
        Code::PermissionDenied | Code::Unauthenticated => Error::Denied { reason: reason() },
        Code::InvalidArgument if text.contains("user name is empty") => Error::Denied { reason: reason() },
        Code::FailedPrecondition if text.contains("user name not found") => {
            Error::Denied { reason: reason() }
        }
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::NotFound
        | Code::AlreadyExists
        | Code::OutOfRange
        | Code::Unimplemented => Error::Invalid { reason: reason() },
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Error::Ambiguous { reason: describe(status) },
    }
}

fn too_large() -> Error {
    Error::TooLarge { what: "request (bytes)", size: REQUEST_MAX_BYTES + 1, limit: REQUEST_MAX_BYTES }
}

/// A connection that was never made carried no request.
fn is_connect_error(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(source) = next {
        if source.is::<tonic::ConnectError>() {
            return true;
        }
        next = source.source();
    }
    false
}

fn describe(status: &Status) -> String {
    if status.message().is_empty() {
        status.code().description().to_owned()
    } else {
        status.message().to_owned()
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(code: Code, text: &str) -> Error {
        of_write(&ClientError::GRpcStatus(Status::new(code, text)))
    }

    #[test]
    fn a_request_that_never_reached_the_log_may_be_sent_again() {
        for (code, text) in [
            (Code::InvalidArgument, "etcdserver: revision of auth store is old"),
            (Code::ResourceExhausted, "etcdserver: too many requests"),
            (Code::Unavailable, "etcdserver: no leader"),
        ] {
            assert!(class(code, text).is_retryable(), "{text}");
        }
    }

    #[test]
    fn a_connection_that_was_refused_carried_nothing_but_one_that_broke_may_have() {
        let refused = tonic::ConnectError(Box::new(std::io::Error::other("refused")));
        let refused = Status::from_error(Box::new(refused));
        assert!(of_write(&ClientError::GRpcStatus(refused)).is_retryable());
        assert!(class(Code::Unavailable, "transport error").is_ambiguous());
        assert!(class(Code::Unknown, "h2 protocol error: http2 error").is_ambiguous());
        assert!(class(Code::Cancelled, "Timeout expired").is_ambiguous());
        assert!(class(Code::Unavailable, "etcdserver: request timed out").is_ambiguous());
        assert!(class(Code::Unavailable, "etcdserver: leader changed").is_ambiguous());
    }

    #[test]
    fn out_of_range_has_two_meanings() {
        let compacted = "etcdserver: mvcc: required revision has been compacted";
        assert_eq!(class(Code::OutOfRange, compacted), Error::Compacted(0));
        let long = "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes";
        let long = ClientError::GRpcStatus(Status::new(Code::OutOfRange, long));
        assert!(is_decode_limit(&long));
        assert!(!matches!(of_write(&long), Error::Compacted(_)));
    }

    #[test]
    fn resource_exhausted_alone_does_not_mean_no_space() {
        let full = "etcdserver: mvcc: database space exceeded";
        assert_eq!(class(Code::ResourceExhausted, full), Error::NoSpace);
        let long = "grpc: received message larger than max (2500000 vs. 2097152)";
        assert!(matches!(class(Code::ResourceExhausted, long), Error::TooLarge { .. }));
    }
}
