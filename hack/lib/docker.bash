# A Docker daemon that answers: the one that runs, or systemd's, or one that is started here and stopped by us alone.

DOCKERD_DIR=/run/skep-dockerd
DOCKERD_WAIT_S=60
DOCKER_SOCKET=/var/run/docker.sock

docker_answers() {
    docker info >/dev/null 2>&1
}

# A socket that this user may not write to is a matter of permission, and no reason to start a second daemon.
is_docker_forbidden() {
    [[ -S $DOCKER_SOCKET && ! -w $DOCKER_SOCKET ]]
}

# dockerd needs cgroups; a machine whose init is not systemd may not have mounted them.
mount_cgroups() {
    mountpoint -q /sys/fs/cgroup || as_root mount -t cgroup2 cgroup2 /sys/fs/cgroup
}

# Ends up as a child of init, so that it outlives this script; its pid file is how stop_dockerd knows it is ours.
start_dockerd() {
    doing "starting dockerd (log: $DOCKERD_DIR/log)"
    mount_cgroups
    as_root mkdir -p "$DOCKERD_DIR"
    as_root sh -c "cd / && exec setsid --fork dockerd --pidfile $DOCKERD_DIR/pid >$DOCKERD_DIR/log 2>&1 </dev/null"
}

start_docker() {
    if has_systemd; then
        as_root systemctl start docker
    else
        start_dockerd
    fi
}

where_the_log_is() {
    if has_systemd; then
        echo "look at: journalctl -u docker"
    else
        echo "its last words, of $DOCKERD_DIR/log: $(as_root tail -n 1 "$DOCKERD_DIR/log")"
    fi
}

wait_for_docker() {
    local deadline=$((SECONDS + DOCKERD_WAIT_S))
    until docker_answers; do
        if is_docker_forbidden; then
            fail "user $(id -un) may not talk to Docker" \
                "run: sudo usermod -aG docker $(id -un), log in again, and repeat; or repeat as root"
        fi
        ((SECONDS < deadline)) || fail "dockerd does not answer after $DOCKERD_WAIT_S s" "$(where_the_log_is)"
        sleep 0.2
    done
}

ensure_docker() {
    if ! docker_answers && ! is_docker_forbidden; then
        start_docker
    fi
    wait_for_docker
    ok "docker $(docker version --format '{{.Server.Version}}') answers"
}

# Stops the daemon that start_dockerd started, and no other; and not under containers that somebody else runs in it.
stop_dockerd() {
    local pid
    pid=$(cat "$DOCKERD_DIR/pid" 2>/dev/null) || return 0
    if [[ -n $(docker ps --quiet 2>/dev/null) ]]; then
        ok "dockerd (pid $pid) stays, because containers run in it: docker ps"
        return 0
    fi
    if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]]; then
        as_root kill "$pid"
        as_root tail -f --pid "$pid" /dev/null
        ok "dockerd (pid $pid) is stopped"
    fi
    as_root rm -rf "$DOCKERD_DIR"
}
