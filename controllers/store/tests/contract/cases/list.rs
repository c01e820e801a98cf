//! Lists: one revision, any size, any content.

use skep_store::{KeyValue, Put, Range, Txn};

use crate::server::{Server, key, keys, put, soon};

pub(crate) async fn a_list_of_many_pages_is_of_one_revision(server: Server) {
    let store = server.store().await;
    for hundred in 0..25 {
        let puts = (0..100).map(|n| Put::new(key(hundred * 100 + n), "0")).collect();
        store.commit(&Txn { puts, ..Txn::new() }).await.unwrap();
    }
    // The first and the last key always hold the same number; a list of mixed revisions would not.
    let writer = async {
        for number in 1..=100 {
            let both = [key(0), key(999)].map(|key| Put::new(key, number.to_string()));
            store.commit(&Txn { puts: both.to_vec(), ..Txn::new() }).await.unwrap();
        }
    };
    let reader = async {
        for _ in 0..20 {
            let listing = store.list(&keys()).await.unwrap();
            assert_eq!(listing.entries.len(), 2500);
            assert!(listing.entries.is_sorted_by(|a, b| a.key < b.key));
            assert!(listing.entries.iter().all(|kv| kv.modified <= listing.revision));
            let value =
                |wanted: String| listing.entries.iter().find(|kv| kv.key == wanted).unwrap().value.clone();
            assert_eq!(value(key(0).to_string()), value(key(999).to_string()));
        }
    };
    soon(futures::future::join(writer, reader)).await;
}

pub(crate) async fn a_list_reads_several_ranges_at_one_revision(server: Server) {
    let store = server.store().await;
    put(&store, key(1), "a").await;
    put(&store, key(2), "b").await;
    let revision = put(&store, key(3), "c").await;
    let listing =
        store.list_all(&[Range::key(&key(3)), Range::key(&key(9)), Range::key(&key(1))]).await.unwrap();
    assert_eq!(listing.revision, revision);
    let values: Vec<&[u8]> = listing.entries.iter().map(|kv| kv.value.as_ref()).collect();
    assert_eq!(values, [b"c", b"a"]);
    let nothing = store.get(&key(9)).await.unwrap();
    assert_eq!((nothing.revision, nothing.entries), (revision, Vec::<KeyValue>::new()));
}

/// Small keys first, so that the page size grows before it meets large values: an answer above the decode limit
/// must lead to a smaller page, not to an error.
pub(crate) async fn a_list_adapts_to_large_values(server: Server) {
    let store = server.store().await;
    for hundred in 0..11 {
        let puts = (0..100).map(|n| Put::new(key(100_000 + hundred * 100 + n), "small")).collect();
        store.commit(&Txn { puts, ..Txn::new() }).await.unwrap();
    }
    for number in 0..160 {
        put(&store, key(900_000 + number), &"x".repeat(500_000)).await;
    }
    let listing = soon(store.list(&keys())).await.unwrap();
    assert_eq!(listing.entries.len(), 1260);
}

pub(crate) async fn a_foreign_key_that_is_not_text_stops_nobody(server: Server) {
    let store = server.store().await;
    let start = put(&store, key(1), "a").await;
    let foreign = [keys_prefix().as_bytes(), b"\xff\xfe"].concat();
    server.client().await.put(foreign, "?", None).await.unwrap();
    let last = put(&store, key(2), "b").await;
    assert_eq!(store.list(&keys()).await.unwrap().entries.len(), 3);
    let mut watch = store.watch(vec![keys()], start);
    let mut revision = 0;
    while revision < last {
        revision = soon(watch.next()).await.unwrap().revision;
    }
}

fn keys_prefix() -> String {
    key(1).to_string().trim_end_matches('1').to_owned()
}

pub(crate) async fn the_version_of_the_server_is_known(server: Server) {
    let version = server.store().await.server_version().unwrap();
    assert!((version.major, version.minor) >= (3, 4), "{version}");
}
