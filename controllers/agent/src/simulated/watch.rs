//! The simulated machine's events as sights.

use futures::stream::{self, StreamExt};
use tokio::sync::broadcast::{self, error::RecvError};

use super::machine::Notice;
use super::{SimulatedEngine, is_owned, unreachable};
use crate::engine::{Engine, EngineError, Owner, Sight, Sights};

/// Where a watch stands.
enum State {
    Unconnected,
    Following(broadcast::Receiver<Notice>),
    Ended,
}

pub(super) fn watch(engine: SimulatedEngine, owner: Owner) -> Sights {
    stream::unfold((engine, owner, State::Unconnected), |(engine, owner, state)| async move {
        let (sight, state) = match state {
            State::Ended => return None,
            State::Unconnected => match connect(&engine, &owner).await {
                Ok((sight, notices)) => (Ok(sight), State::Following(notices)),
                Err(error) => (Err(error), State::Ended),
            },
            State::Following(mut notices) => match next(&engine, &owner, &mut notices).await {
                Ok(sight) => (Ok(sight), State::Following(notices)),
                Err(error) => (Err(error), State::Ended),
            },
        };
        Some((sight, (engine, owner, state)))
    })
    .boxed()
}

async fn connect(
    engine: &SimulatedEngine,
    owner: &Owner,
) -> Result<(Sight, broadcast::Receiver<Notice>), EngineError> {
    let notices = engine.shared.notices.subscribe();
    let containers = engine.list(owner).await?;
    Ok((Sight::All(engine.state().machine.clone(), containers), notices))
}

async fn next(
    engine: &SimulatedEngine,
    owner: &Owner,
    notices: &mut broadcast::Receiver<Notice>,
) -> Result<Sight, EngineError> {
    loop {
        let id = match notices.recv().await {
            Ok(Notice::Changed(id)) => id,
            Ok(Notice::Gone(id)) => return Ok(Sight::Gone(id)),
            Ok(Notice::Away) => return Err(unreachable("it died")),
            Err(RecvError::Lagged(_) | RecvError::Closed) => return Err(unreachable("its events were lost")),
        };
        match engine.inspect(&id).await {
            Ok(container) if is_owned(&container, owner) => return Ok(Sight::Changed(container)),
            Ok(_) => {}
            Err(EngineError::NotFound(_)) => return Ok(Sight::Gone(id)),
            Err(error) => return Err(error),
        }
    }
}
