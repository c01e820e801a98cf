//! The simulated machine's events as sights.

use futures::future;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use tokio::sync::broadcast;

use super::machine::Notice;
use super::{SimulatedEngine, is_owned, unreachable};
use crate::engine::{Engine, EngineError, Owner, Phase, Sight, Sights};

pub(super) fn watch(engine: SimulatedEngine, owner: Owner) -> Sights {
    stream::once(connect(engine, owner)).try_flatten().boxed()
}

async fn connect(
    engine: SimulatedEngine,
    owner: Owner,
) -> Result<impl Stream<Item = Result<Sight, EngineError>>, EngineError> {
    let notices = engine.shared.notices.subscribe();
    let containers = engine.list(&owner).await?;
    let all = Sight::All(engine.state().machine.clone(), containers);
    let notices = stream::unfold((engine.clone(), notices), |(engine, mut notices)| async move {
        let notice = next(&engine, &mut notices).await;
        Some((notice, (engine, notices)))
    });
    let changes = notices.flat_map(move |notice| {
        let (engine, owner, end) = (engine.clone(), owner.clone(), end(&engine, &notice));
        let sight = stream::once(async move { sight(&engine, &owner, notice).await });
        stream::iter(end.map(Ok)).chain(sight.try_filter_map(future::ok))
    });
    Ok(stream::once(future::ready(Ok(all))).chain(changes))
}

/// What a notice alone tells of the end of a container.
fn end(engine: &SimulatedEngine, notice: &Result<Notice, broadcast::error::RecvError>) -> Option<Sight> {
    let Ok(Notice::Changed(id)) = notice else { return None };
    let state = engine.state();
    let found = state.find(id).ok()?;
    match found.phase {
        Phase::Exited { code, .. } => Some(Sight::Ended { id: id.clone(), code, at: found.finished? }),
        Phase::Created | Phase::Running => None,
    }
}

/// The next notice. What happens by itself happens when its time has come, as long as somebody watches.
async fn next(
    engine: &SimulatedEngine,
    notices: &mut broadcast::Receiver<Notice>,
) -> Result<Notice, broadcast::error::RecvError> {
    loop {
        let due = engine.state().next();
        let timer = async {
            match due {
                Some(instant) => tokio::time::sleep_until(instant).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            notice = notices.recv() => return notice,
            () = timer => engine.settle(),
        }
    }
}

/// What a notice is about, as it is when the engine is asked for it.
async fn sight(
    engine: &SimulatedEngine,
    owner: &Owner,
    notice: Result<Notice, broadcast::error::RecvError>,
) -> Result<Option<Sight>, EngineError> {
    let id = match notice {
        Ok(Notice::Changed(id)) => id,
        Ok(Notice::Gone(id)) => return Ok(Some(Sight::Gone(id))),
        Ok(Notice::Away) => return Err(unreachable("it died")),
        Err(_) => return Err(unreachable("its events were lost")),
    };
    match engine.inspect(&id).await {
        Ok(container) => Ok(is_owned(&container, owner).then_some(Sight::Changed(container))),
        Err(EngineError::NotFound(_)) => Ok(Some(Sight::Gone(id))),
        Err(error) => Err(error),
    }
}
