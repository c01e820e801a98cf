//! Guarded transactions, alone and in packs.

use skep_store::{Error, Guard, Outcome, Put, TXN_MAX_OPS, Txn, VALUE_MAX_BYTES};

use crate::server::{Server, committed, delete, key, put, refused};

fn create(number: u64) -> Txn {
    Txn::new().guard(Guard::absent(key(number))).put(Put::new(key(number), "new"))
}

pub(crate) async fn a_refusal_names_the_guards_that_failed(server: Server) {
    let store = server.store().await;
    let old = put(&store, key(1), "a").await;
    let good = put(&store, key(2), "b").await;
    let new = put(&store, key(1), "c").await;
    let txn = Txn::new()
        .guard(Guard::modified(key(1), old))
        .guard(Guard::modified(key(2), good))
        .guard(Guard::created(key(3), 5))
        .put(Put::new(key(4), "never"));
    let Outcome::Refused { revision, failed } = store.commit(&txn).await.unwrap() else {
        panic!("committed")
    };
    assert_eq!(revision, new);
    let [(first, Some(found)), (second, None)] = failed.as_slice() else { panic!("{failed:?}") };
    assert_eq!((first, second), (&key(1), &key(3)));
    assert_eq!((found.modified, found.created, found.value.as_ref()), (new, old, b"c".as_slice()));
    assert!(store.get(&key(4)).await.unwrap().entries.is_empty());
}

pub(crate) async fn each_kind_of_guard_holds_and_fails(server: Server) {
    let store = server.store().await;
    let created = put(&store, key(1), "a").await;
    let modified = put(&store, key(1), "b").await;
    let check = async |guard: Guard| store.commit(&Txn::new().guard(guard)).await;
    committed(check(Guard::modified(key(1), modified)).await);
    committed(check(Guard::created(key(1), created)).await);
    committed(check(Guard::absent(key(2))).await);
    assert_eq!(refused(check(Guard::modified(key(1), created)).await), [key(1)]);
    assert_eq!(refused(check(Guard::created(key(1), modified)).await), [key(1)]);
    assert_eq!(refused(check(Guard::absent(key(1))).await), [key(1)]);
    delete(&store, key(1)).await;
    put(&store, key(1), "again").await;
    assert_eq!(
        refused(check(Guard::created(key(1), created)).await),
        [key(1)],
        "the same name, a new object"
    );
}

pub(crate) async fn what_is_too_large_is_not_sent(server: Server) {
    let store = server.store().await;
    let fits = Put::new(key(1), vec![b'x'; VALUE_MAX_BYTES]);
    let revision = committed(store.commit(&Txn::new().put(fits.clone())).await);
    let over = |txn: Txn| async { store.commit(&{ txn }).await };
    let value = Txn::new().put(Put::new(key(1), vec![b'x'; VALUE_MAX_BYTES + 1]));
    assert!(matches!(over(value).await, Err(Error::TooLarge { what: "value (bytes)", .. })));
    let bytes = Txn { puts: (0..3).map(|n| Put { key: key(n), ..fits.clone() }).collect(), ..Txn::new() };
    assert!(matches!(over(bytes).await, Err(Error::TooLarge { what: "transaction (bytes)", .. })));
    let ops = (0..=TXN_MAX_OPS as u64).fold(Txn::new(), |txn, number| txn.delete(key(number)));
    assert!(matches!(over(ops).await, Err(Error::TooLarge { what: "transaction (operations)", .. })));
    let guards =
        (0..=TXN_MAX_OPS as u64).fold(Txn::new(), |txn, number| txn.guard(Guard::absent(key(number))));
    assert!(matches!(over(guards).await, Err(Error::TooLarge { what: "transaction (comparisons)", .. })));
    assert!(matches!(over(create(2).delete(key(2))).await, Err(Error::Invalid { .. })), "the same key twice");
    let full = (0..TXN_MAX_OPS as u64).fold(Txn::new(), |txn, number| txn.put(Put::new(key(number), "x")));
    assert_eq!(committed(store.commit(&full).await), revision + 1, "what is just within the limits is taken");
}

pub(crate) async fn a_put_with_a_lease_that_is_gone_fails(server: Server) {
    let store = server.store().await;
    let txn = Txn::new().put(Put::leased(key(1), "x", 4711));
    assert_eq!(store.commit(&txn).await, Err(Error::LeaseGone));
}

pub(crate) async fn packed_transactions_take_few_revisions(server: Server) {
    let store = server.store().await;
    let start = put(&store, key(0), "0").await;
    let outcomes = store.commit_all(&[Guard::modified(key(0), start)], (1..=500).map(create).collect()).await;
    assert_eq!(outcomes.len(), 500);
    let last = outcomes.into_iter().map(committed).max().unwrap();
    assert_eq!(last, start + 4, "127 of 128 comparisons are left beside the fence");
}

pub(crate) async fn a_conflict_in_a_pack_refuses_only_its_own_transaction(server: Server) {
    let store = server.store().await;
    put(&store, key(5), "taken").await;
    put(&store, key(7), "taken").await;
    let outcomes = store.commit_all(&[], (1..=10).map(create).collect()).await;
    for (number, outcome) in (1..=10).zip(outcomes) {
        match number {
            5 | 7 => assert_eq!(refused(outcome), [key(number)]),
            _ => drop(committed(outcome)),
        }
    }
}

pub(crate) async fn a_lost_fence_refuses_everything(server: Server) {
    let store = server.store().await;
    let old = put(&store, key(0), "me").await;
    let start = put(&store, key(0), "somebody else").await;
    let outcomes = store.commit_all(&[Guard::modified(key(0), old)], (1..=300).map(create).collect()).await;
    assert_eq!(outcomes.len(), 300);
    assert!(outcomes.into_iter().all(|outcome| refused(outcome) == [key(0)]));
    assert_eq!(store.get(&key(1)).await.unwrap().revision, start, "nothing was written");
}

pub(crate) async fn a_lease_that_is_gone_fails_only_its_own_transaction(server: Server) {
    let store = server.store().await;
    let txns = vec![create(1), Txn::new().put(Put::leased(key(2), "x", 4711)), create(3)];
    let outcomes = store.commit_all(&[], txns).await;
    assert_eq!(outcomes[1], Err(Error::LeaseGone));
    for index in [0, 2] {
        committed(outcomes[index].clone());
    }
}

pub(crate) async fn transactions_on_the_same_key_keep_their_order(server: Server) {
    let store = server.store().await;
    let write = |value: &str| Txn::new().put(Put::new(key(1), value.to_owned()));
    let txns = vec![create(1), write("second"), create(1), create(2), write("last")];
    let outcomes = store.commit_all(&[], txns).await;
    assert_eq!(refused(outcomes[2].clone()), [key(1)]);
    for index in [0, 1, 3, 4] {
        committed(outcomes[index].clone());
    }
    assert_eq!(store.get(&key(1)).await.unwrap().entries[0].value.as_ref(), b"last");
}
