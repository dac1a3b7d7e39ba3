#!/bin/sh
# bootstrap.sh EXAMPLE RESULT: an Envoy file of the examples for the network of docker-compose.yaml, where
# servers are found by their names. The examples have everything on loopback; nothing but addresses, and how
# they are looked up, is changed.
set -eu

one=authority
if grep -q 'port_value: 10012}' "$1"; then
    one=authority-1
fi

# Envoy's own name for `type: STRICT_DNS` with an interval.
lookup='\1cluster_type:
\1  name: envoy.clusters.dns
\1  typed_config:
\1    "@type": type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster
\1    dns_refresh_rate: 1s
\1    dns_lookup_family: V4_ONLY'
lookup=$(printf '%s' "$lookup" | sed '$!s/$/\\/')

# A container that is made anew may have another address, so names are looked up every second. Authorities
# have a machine each here, and so the same port.
sed -e 's/{address: 127\.0\.0\.1, port_value: 10000}/{address: 0.0.0.0, port_value: 10000}/' \
    -e 's/{address: 127\.0\.0\.1, port_value: 10001}/{address: upstream, port_value: 10001}/' \
    -e "s/{address: 127\\.0\\.0\\.1, port_value: 10002}/{address: $one, port_value: 10002}/" \
    -e 's/{address: 127\.0\.0\.1, port_value: 10012}/{address: authority-2, port_value: 10002}/' \
    -e 's/{address: 127\.0\.0\.1, port_value: 10022}/{address: authority-3, port_value: 10002}/' \
    -e 's/{address: 127\.0\.0\.1, port_value: 10021}/{address: idp, port_value: 10021}/' \
    -e "s#^\\( *\\)type: STATIC\$#$lookup#" \
    -e 's#{filename: target/portcullis\.wasm}#{filename: /etc/envoy/portcullis.wasm}#' \
    "$1" >"$2"

# A line of the example that is written in another way would keep its address without a word.
# What a browser calls this machine is no address of a server.
left=$(grep -v '^ *#' "$2" | grep -v ' allowed_redirect_domains: ' | grep -E '127\.0\.0\.1|STATIC|target/' || true)
if [ "$left" != '  address: {socket_address: {address: 127.0.0.1, port_value: 9901}}' ]; then
    printf '%s: expected no address of loopback but that of the admin interface, found:\n%s\n' "$1" "$left" >&2
    exit 1
fi
