//! Every default of `skep up` in words, from the constants themselves.

use std::time::Duration;

use skep_agent::SESSION_TTL;
use skep_agent::docker::DEFAULT_HOST;
use skep_api::time::Span;
use skep_node::UNREACHABLE_FOR;

use crate::cluster::ROOT_STATE_DIR;
use crate::up::child::{LASTED, LOG_MAX_BYTES, PATIENCE, PAUSE_FIRST, PAUSE_MAX};
use crate::up::etcd::{HISTORY, QUOTA_BYTES};
use crate::up::nodes::NODES_MAX;
use crate::verb::controller::LEADER_TTL;

/// What `skep up --help` ends with.
pub(crate) fn text() -> String {
    format!(
        "\
Defaults:
  state directory   {ROOT_STATE_DIR} for root, else $XDG_STATE_HOME/skep or
                    ~/.local/state/skep; only its owner may look into it
    cluster.json    the way to etcd; pki/ the certificates, etcd/ the data
    node.json       which node this machine is
    log/NAME.log    what each process says; begins anew after {log} MiB,
                    one older log is kept
    run/            pids and restarts, and for each process a socket with
                    /healthz, /readyz and /metrics
    nodes/          the further nodes of this machine, n2 and so on
  further nodes     --nodes N: each a network namespace with a dockerd of its
                    own (nodes/NAME/docker.sock); at most {NODES_MAX} with the machine
    addresses       a free subnet of 198.19.0.0/16, behind the machine's own
    end             dockerd and containers run on without `skep up`, until
                    `skep down` or `skep down --node NAME`
  etcd              the `etcd` on the PATH, on 127.0.0.1, for holders of a
                    certificate from pki/ only
    ports           two that the kernel chooses, kept in cluster.json
    history         {HISTORY}
    quota           {quota} GiB
  leader lease      {leader}: how long a controller that died is waited for;
                    one that stops hands over at once
  node lease        {node}: how long an agent that died counts as alive;
                    {down} later its tasks are replaced
  restart           a child that died is started again after {first}, then
                    twice as long each time up to {longest}; {lasted} of
                    running make the next death the first
  end               SIGTERM, after {patience} SIGKILL; containers keep running

Environment:
  SKEP_LOG          what is logged: `info` (the default), `skep_replica=debug`
  DOCKER_HOST       this machine's Docker [default: {DEFAULT_HOST}]",
        log = LOG_MAX_BYTES >> 20,
        quota = QUOTA_BYTES >> 30,
        leader = span(LEADER_TTL),
        node = span(SESSION_TTL),
        down = UNREACHABLE_FOR,
        first = span(PAUSE_FIRST),
        longest = span(PAUSE_MAX),
        lasted = span(LASTED),
        patience = span(PATIENCE),
    )
}

fn span(duration: Duration) -> Span {
    Span::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
