//! Which cluster an etcd holds.

use skep_store::Error;

use crate::server::Server;

pub(crate) async fn a_cluster_is_made_once(server: Server) {
    let (one, two) = (server.store().await, server.store().await);
    let (first, second) = futures::future::join(one.bootstrap(), two.bootstrap()).await;
    assert_eq!(first.clone().unwrap(), second.unwrap());
    let third = server.store().await;
    assert_eq!(third.identity(), first);
    assert_eq!(third.bootstrap().await, first);
}

pub(crate) async fn a_store_that_holds_no_cluster_says_so(server: Server) {
    assert_eq!(server.store().await.identity(), Err(Error::NotBootstrapped));
}
