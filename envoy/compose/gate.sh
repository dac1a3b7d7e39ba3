#!/bin/sh
# gate.sh BOOTSTRAP FILE…: runs Envoy with the keys in /keys/gate/gate.env and in the files, one of which has
# the feed's, and starts it anew when there are others.
set -eu

bootstrap=$1
shift
# What is left are the files with keys.
set -- /keys/gate/gate.env "$@"

say() {
    printf 'gate.sh: %s\n' "$*" >&2
}

sum() {
    cat -- "$@" | cksum
}

# In a subshell of its own, so that no variable is left of the keys from before.
start() {
    (
        set -a
        for file in "$@"; do
            # shellcheck source=/dev/null
            . "$file"
        done
        set +a
        exec envoy -c "$bootstrap" --config-yaml "$(cat /usr/local/lib/portcullis/metrics.yaml)" --concurrency 2 \
            --disable-hot-restart --service-node "$(hostname)" --log-level warn --component-log-level wasm:debug
    ) &
    envoy=$!
}

end() {
    kill -TERM "$envoy" 2>/dev/null || true
    wait "$envoy" || true
}

trap 'end; exit 0' TERM INT

# A browser calls the provider by the port that it is published on.
if [ -n "${PORTCULLIS_IDP_PORT:-}" ]; then
    sed "s#http://localhost:10021#http://localhost:$PORTCULLIS_IDP_PORT#" "$bootstrap" >/tmp/bootstrap.yaml
    bootstrap=/tmp/bootstrap.yaml
fi

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
