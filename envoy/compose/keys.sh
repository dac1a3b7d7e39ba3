#!/bin/sh
# Makes what the demo needs in the way of keys and credentials, each kind in a volume of its own.
#
#   keys.sh            what is not there yet
#   keys.sh new        other ones than there are: the authority and the gate take them without a restart,
#                      and the demo's tokens from before are of no use any more
#   keys.sh replicas   what three authorities on a database need besides
set -eu

issuer=https://issuer.example
audience=api
# The provider of the profile `idp`, as a browser calls it.
provider=http://localhost:${PORTCULLIS_IDP_PORT:-10021}
algorithms="ES256 RS256 EdDSA"
library=/usr/local/lib/portcullis

say() {
    printf 'keys.sh: %s\n' "$*" >&2
}

# write MODE FILE: what comes in, under its name only when it is complete.
write() {
    (umask 077 && cat >"$2.new")
    chmod "$1" "$2.new"
    mv -f -- "$2.new" "$2"
}

random() {
    head -c 32 /dev/urandom | base64
}

# The command for a token is the first thing that is wanted.
tell() {
    say "a token to try the gate with, good for a day:"
    say "  docker compose -f envoy/docker-compose.yaml run --rm cli mint --key /keys/issuer/es256.jwk --issuer $issuer --audience $audience --subject alice --session session-1 --expires-in=24h"
}

make_keys() {
    say "making keys and credentials"
    new=$(mktemp -d)
    for algorithm in $algorithms; do
        name=$(printf '%s' "$algorithm" | tr '[:upper:]' '[:lower:]')
        portcullis keygen --algorithm "$algorithm" --key-id "$name" --out "$new/$name.jwk" >/dev/null
    done
    jwks=$(portcullis jwks "$new/es256.jwk" "$new/rs256.jwk" "$new/eddsa.jwk")
    admin=$(portcullis credential --role admin --name admin --file "$new/credentials")
    scrape=$(portcullis credential --role scrape --name prometheus --file "$new/credentials")
    edge=$(portcullis credential --role edge --name edge --allow sign-out,activity,sessions \
        --file "$new/credentials")

    for name in es256 rs256 eddsa; do
        write 0600 "/keys/issuer/$name.jwk" <"$new/$name.jwk"
    done
    printf '%s\n' "$jwks" | write 0600 /keys/authority/jwks.json
    write 0600 /keys/authority/credentials <"$new/credentials"
    printf '%s\n' "$admin" | write 0600 /keys/issuer/admin.credential
    # Prometheus runs as another user, and so does PostgreSQL below.
    printf '%s\n' "$scrape" | write 0444 /keys/scrape/credential
    # Last: the gate starts anew with it, and asks an authority that knows the credential by then.
    printf "PORTCULLIS_DEMO_JWKS='%s'\nPORTCULLIS_DEMO_EDGE_CREDENTIAL='%s'\n" "$jwks" "$edge" |
        write 0600 /keys/gate/gate.env
    rm -rf -- "$new"
}

# What the provider signs with, and what the gate shows to it. With `new` these stay: the provider reads them
# at its start only.
make_provider_keys() {
    new=$(mktemp -d)
    portcullis keygen --algorithm ES256 --out "$new/es256.jwk" >"$new/jwks.json"
    secret=$(random)
    write 0600 /keys/authority/idp.json <"$new/jwks.json"
    write 0600 /keys/idp/es256.jwk <"$new/es256.jwk"
    printf '%s\n' "$secret" | write 0600 /keys/idp/client.secret
    printf "PORTCULLIS_DEMO_CLIENT_SECRET='%s'\nPORTCULLIS_DEMO_COOKIE_SECRET='%s'\n" "$secret" "$(random)" |
        write 0600 /keys/sign-in/sign-in.env
    rm -rf -- "$new"
}

# Which sign-outs the authority is told of. The keys are in a file, so that it misses no provider that does
# not run.
signals() {
    cat <<SIGNALS
listen: 0.0.0.0:10003
allow_insecure_listen: true
issuers:
- issuer: $provider
  keys: {jwks_file: idp.json}
  client_ids: [gate]
  receivers: {back_channel_logout: true}
SIGNALS
}

# first_start FILE OPTION…: the public half of the key that signs the feed, which an authority makes when it
# first works on its store, and prints when it is ready.
first_start() {
    feed=$1
    shift
    ready=$(mktemp)
    portcullis serve --listen=127.0.0.1:0 --log-level=warn "$@" >"$ready" &
    authority=$!
    until [ -s "$ready" ]; do
        if ! kill -0 "$authority" 2>/dev/null; then
            say "the authority did not start"
            exit 1
        fi
        sleep 0.1
    done
    kill -TERM "$authority"
    wait "$authority" || true
    key=$(sed -n 's/.*"feed_public_keys":\["\([^"]*\)".*/\1/p' "$ready")
    rm -f -- "$ready"
    if [ -z "$key" ]; then
        say "the authority did not say which key signs its feed"
        exit 1
    fi
    printf "PORTCULLIS_DEMO_FEED_KEY='%s'\n" "$key" | write 0600 "$feed"
}

case ${1:-} in
    "")
        # The paths in the example begin at its own directory.
        sed 's#jwks_file: [^}]*}#jwks_file: jwks.json}#' "$library/authority.yaml" |
            write 0600 /keys/authority/authority.yaml
        [ -e /keys/gate/gate.env ] || make_keys
        [ -e /keys/sign-in/sign-in.env ] || make_provider_keys
        signals | write 0600 /keys/authority/signals.yaml
        # Not made anew: a database that is there goes on with them.
        [ -e /keys/database/password ] || random | tr -d '\n/+=' | write 0444 /keys/database/password
        [ -e /keys/authority/secret.key ] || random | write 0600 /keys/authority/secret.key
        [ -e /keys/gate/feed.env ] || first_start /keys/gate/feed.env --data=/var/lib/portcullis
        tell
        ;;
    new)
        make_keys
        tell
        ;;
    replicas)
        [ -e /keys/gate/feed-replicas.env ] ||
            first_start /keys/gate/feed-replicas.env --data=/tmp/data \
                --store-password=/keys/database/password --secret-key=/keys/authority/secret.key
        ;;
    *)
        say "expected nothing, \`new\` or \`replicas\`, found $1"
        exit 2
        ;;
esac
