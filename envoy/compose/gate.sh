#!/bin/sh
# gate.sh BOOTSTRAP FEED: runs Envoy with the keys in /keys/gate and the feed's key in the file FEED, and
# starts it anew when there are others.
set -eu

keys=/keys/gate/gate.env

say() {
    printf 'gate.sh: %s\n' "$*" >&2
}

sum() {
    cat -- "$keys" "$2" | cksum
}

# In a subshell of its own, so that no variable is left of the keys from before.
start() {
    (
        set -a
        # shellcheck source=/dev/null
        . "$keys"
        # shellcheck source=/dev/null
        . "$2"
        set +a
        exec envoy -c "$1" --config-yaml "$(cat /usr/local/lib/portcullis/metrics.yaml)" --concurrency 2 \
            --disable-hot-restart --service-node "$(hostname)" --log-level warn --component-log-level wasm:debug
    ) &
    envoy=$!
}

end() {
    kill -TERM "$envoy" 2>/dev/null || true
    wait "$envoy" || true
}

trap 'end; exit 0' TERM INT

while true; do
    before=$(sum "$@")
    start "$@"
    while [ "$(sum "$@")" = "$before" ]; do
        # In the background, so that a signal does not have to wait for it.
        sleep 1 &
        wait "$!"
        if ! kill -0 "$envoy" 2>/dev/null; then
            code=0
            wait "$envoy" || code=$?
            say "Envoy has ended with code $code"
            # What it was ended by is for the engine to judge (`restart`).
            exit "$((code == 0 ? 1 : code))"
        fi
    done
    say "there are new keys: Envoy is started anew"
    end
done
