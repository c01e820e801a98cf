//! Whether Docker was asked to end a container.

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use futures::{TryStreamExt, future};
use skep_api::time::{Span, Timestamp};

use super::watch::unix_seconds;
use super::{Docker, error};
use crate::engine::EngineError;

/// How soon after a signal an end counts as the signal's doing: a grace period may be longer, but then the container is
/// killed, and does not end with exit code 0.
const EFFECT_WITHIN_MS: i64 = 60_000;
/// Docker tells of a signal just after it was sent, so the process may have ended by then.
const TOLD_WITHIN: Span = Span::from_millis(250);
/// Signals that conventionally ask for something else than an end: HUP, USR1, USR2.
const HARMLESS: [&str; 3] = ["1", "10", "12"];

impl Docker {
    /// Whether the container `id`, which ended at `finished`, was sent a signal through Docker shortly before.
    pub(super) async fn find_signal(&self, id: &str, finished: Timestamp) -> Result<bool, EngineError> {
        let filters = [("container", id), ("event", "kill")];
        let filters = filters.map(|(name, value)| (name.to_owned(), vec![value.to_owned()]));
        let begin = Timestamp::from_millis(finished.as_millis().saturating_sub(EFFECT_WITHIN_MS));
        let options = EventsOptions {
            since: Some(unix_seconds(begin)),
            until: Some(unix_seconds(finished.after(TOLD_WITHIN))),
            filters: Some(filters.into_iter().collect()),
        };
        let events = self.client().await?.events(Some(options)).map_err(error::classify);
        events.try_any(|event| future::ready(asks_to_end(&event))).await
    }
}

fn asks_to_end(event: &EventMessage) -> bool {
    let attributes = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
    let signal = attributes.and_then(|attributes| attributes.get("signal"));
    signal.is_none_or(|signal| !HARMLESS.contains(&signal.as_str()))
}
