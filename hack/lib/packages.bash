# Installs what is missing by apt. What the machine already has, from wherever it came, is left alone.

APT_LOG="$LOG_DIR/apt.log"
POLICY=/usr/sbin/policy-rc.d

# The Debian packages that this machine lacks, one to a line. Programs are looked for, not packages: Docker may be
# docker-ce, and protoc may be a download.
missing_packages() {
    [[ -e /etc/ssl/certs/ca-certificates.crt ]] || echo ca-certificates
    have curl || echo curl
    have git || echo git
    have jq || echo jq
    have cc || printf '%s\n' gcc libc6-dev
    have protoc || echo protobuf-compiler
    protoc --descriptor_set_out=/dev/null google/protobuf/timestamp.proto 2>/dev/null || echo libprotobuf-dev
    have etcd || echo etcd-server
    have etcdctl || echo etcd-client
    have ip || echo iproute2
    { have docker && have dockerd; } || docker info >/dev/null 2>&1 || echo docker.io
}

# apt_install PACKAGE...: removes nothing, so that a package in conflict with the machine's own is refused.
apt_install() {
    have apt-get || fail "this machine has no apt-get" "install by hand what Debian calls: $*"
    # Before the output goes to the log, where nobody would see the question for a password.
    need_root "installing $*"
    as_root true
    doing "installing $* (log: $APT_LOG)"
    {
        # One archive of many that does not answer is no reason to give up.
        as_root apt-get -o DPkg::Lock::Timeout=300 update || true
        as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -o DPkg::Lock::Timeout=300 \
            install --yes --no-install-recommends --no-remove "$@"
    } >>"$APT_LOG" 2>&1 </dev/null ||
        fail "apt-get could not install $*" "$(grep '^E:' "$APT_LOG" | tail -n 1)" "the whole log: $APT_LOG"
}

# etcd's package starts a server of its own on port 2379 and enables it; skep runs the binary itself and needs neither.
# In a subshell, so that the policy goes away however it ends.
# install_without_service PACKAGE UNIT
install_without_service() (
    if [[ ! -e $POLICY ]]; then
        need_root "installing $1"
        trap 'as_root rm -f "$POLICY"' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
        as_root chmod 755 "$POLICY"
    fi
    apt_install "$1"
    if has_systemd; then
        as_root systemctl disable --quiet "$2"
    fi
)

ensure_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    local others=() package
    for package in "${missing[@]}"; do
        if [[ $package == etcd-server ]]; then
            install_without_service etcd-server etcd.service
        else
            others+=("$package")
        fi
    done
    if ((${#others[@]} > 0)); then
        apt_install "${others[@]}"
    fi
    hash -r
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]} == 0)) || fail "still missing after the installation: ${missing[*]}" "the log: $APT_LOG"
    ok "packages: $(etcd --version | head -n 1), $(protoc --version)"
}

# What only the tests need: a registry to pull from, which they run themselves.
ensure_test_packages() {
    have docker-registry || install_without_service docker-registry docker-registry.service
    hash -r
    have docker-registry || fail "docker-registry is still missing after its installation" "the log: $APT_LOG"
}
