# Finds a Rust toolchain that is new enough, or installs Debian's: its plain `rustc` is too old on Debian 12, its
# `rustc-web` family (kept new for browsers) is not, and puts the same names into /usr/bin.

RUST_MINOR_MIN=89

# is_new_enough CARGO
is_new_enough() {
    local version
    version=$("$1" --version 2>/dev/null) || return 1
    [[ $version =~ ^cargo\ 1\.([0-9]+)\. ]] && ((BASH_REMATCH[1] >= RUST_MINOR_MIN))
}

# Puts the first toolchain on PATH that is new enough in front of the older ones.
select_cargo() {
    local cargo
    while read -r cargo; do
        if is_new_enough "$cargo"; then
            PATH="$(dirname "$cargo"):$PATH"
            hash -r
            return 0
        fi
    done < <(type -ap cargo)
    return 1
}

ensure_rust() {
    if ! select_cargo; then
        apt_install rustc-web cargo-web rustfmt-web rust-web-clippy
        hash -r
        select_cargo || fail "no cargo of version 1.$RUST_MINOR_MIN or newer" \
            "Debian's rustc-web comes from its security archive: is that in /etc/apt/sources.list?" \
            "or install a toolchain from https://rustup.rs"
    fi
    ok "$(cargo --version), $(rustc --version)"
}
