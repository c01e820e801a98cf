# How a script speaks to the person who runs it: one line for each step, and what to do where a step failed.
# Sourced by hack/run, hack/test and hack/demo/image, with the working directory at the top of the repository.

# sbin is not on an ordinary user's PATH, and a rustup toolchain is not on that of a non-login shell.
export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"
export PATH="$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin"

# Logs of the steps. Under target/, so that git ignores them and `cargo clean` removes them.
LOG_DIR="$PWD/target/hack"
mkdir -p "$LOG_DIR"

ok() {
    printf 'ok: %s\n' "$*" >&2
}

doing() {
    printf '..: %s\n' "$*" >&2
}

# fail WHAT ADVICE...: names the step that failed and, on lines of their own, what to do about it.
fail() {
    printf 'FAILED: %s\n' "$1" >&2
    shift
    if (($# > 0)); then
        printf '        %s\n' "$@" >&2
    fi
    exit 1
}

have() {
    command -v "$1" >/dev/null
}

has_systemd() {
    [[ -d /run/systemd/system ]]
}

# need_root WHAT
need_root() {
    ((EUID == 0)) || have sudo || fail "$1 needs root" \
        "run the script as root, or install sudo and allow your user to use it"
}

# as_root COMMAND...: as it is for root, through sudo for anyone else.
as_root() {
    need_root "\`$*\`"
    if ((EUID == 0)); then
        "$@"
    else
        sudo "$@"
    fi
}
