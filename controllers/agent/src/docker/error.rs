//! Docker's answers in the classes that the agent acts on.

use bollard::errors::Error;

use crate::engine::EngineError;

const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;

/// What went wrong, of a call that names a container or an image.
pub(super) fn classify(error: Error) -> EngineError {
    classify_as(error, EngineError::NotFound, EngineError::Refused)
}

/// What went wrong with a pull: an image that its registry does not have is refused, in Docker's words.
pub(super) fn classify_pull(error: Error) -> EngineError {
    classify_as(error, EngineError::Refused, EngineError::Refused)
}

/// What went wrong with a creation, where what was not found is the image, and a conflict is about the name.
pub(super) fn classify_create(error: Error) -> EngineError {
    classify_as(error, EngineError::NoSuchImage, EngineError::NameTaken)
}

/// What went wrong with a volume: a driver or a plugin that is not there, or another volume of that name.
pub(super) fn classify_volume(error: Error) -> EngineError {
    classify_as(error, EngineError::Refused, EngineError::Refused)
}

/// What went wrong, given what Docker means by "not found" and by "conflict".
fn classify_as(
    error: Error,
    not_found: fn(String) -> EngineError,
    conflict: fn(String) -> EngineError,
) -> EngineError {
    if let Error::DockerResponseServerError { status_code, message } = error {
        return match status_code {
            NOT_FOUND => not_found(message),
            CONFLICT => conflict(message),
            _ => EngineError::Refused(message),
        };
    }
    if let Error::DockerStreamError { error } = error {
        return EngineError::Refused(error);
    }
    EngineError::Unreachable(error.to_string())
}
