//! The store's contract, once over the fake etcd and once over a real one, and the proof that the two are alike.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod cases;
mod differential;
mod faults;
mod process;
mod server;

/// Makes two tests of each case: over the fake, in virtual time, and over a real etcd.
macro_rules! contract {
    ($($module:ident: $($case:ident),+ $(,)?);+ $(;)?) => {
        mod fake {
            $($(
                #[tokio::test(start_paused = true)]
                async fn $case() {
                    crate::cases::$module::$case(crate::server::Server::fake()).await;
                }
            )+)+
        }
        mod real {
            $($(
                #[tokio::test]
                async fn $case() {
                    crate::cases::$module::$case(crate::server::Server::real().await).await;
                }
            )+)+
        }
    };
}

contract! {
    list:
        a_list_of_many_pages_is_of_one_revision,
        a_list_reads_several_ranges_at_one_revision,
        a_list_adapts_to_large_values,
        a_foreign_key_that_is_not_text_stops_nobody,
        the_version_of_the_server_is_known;
    watch:
        a_watch_tells_every_change_once_in_order,
        a_next_that_is_dropped_loses_nothing,
        a_transaction_arrives_whole,
        a_long_history_arrives_whole,
        many_revisions_arrive_whole,
        a_watch_of_several_ranges_sees_only_them,
        a_watch_survives_a_restart_of_etcd,
        a_watch_from_compacted_history_ends,
        a_deletion_at_the_compacted_revision_is_not_lost;
    follow:
        a_follower_sees_the_present_and_then_every_change,
        a_follower_lists_again_after_a_compaction,
        a_restored_store_is_noticed,
        a_restored_store_that_went_on_is_noticed;
    txn:
        a_refusal_names_the_guards_that_failed,
        each_kind_of_guard_holds_and_fails,
        what_is_too_large_is_not_sent,
        a_put_with_a_lease_that_is_gone_fails,
        packed_transactions_take_few_revisions,
        a_conflict_in_a_pack_refuses_only_its_own_transaction,
        a_lost_fence_refuses_everything,
        a_lease_that_is_gone_fails_only_its_own_transaction,
        transactions_on_the_same_key_keep_their_order;
    lease:
        keys_vanish_when_their_lease_is_revoked,
        keys_vanish_when_nobody_renews_their_lease,
        a_lease_that_is_renewed_lives_on,
        a_renewal_of_a_lost_lease_says_so,
        one_contender_wins_and_the_next_takes_over,
        a_win_whose_answer_was_lost_is_recognized,
        settling_refuses_what_is_still_on_its_way,
        a_leader_that_was_replaced_cannot_settle;
    identity:
        a_cluster_is_made_once,
        a_store_that_holds_no_cluster_says_so;
}
