#!/bin/sh
# All clients, one after the other. Fails if one failed, after the others had their turn.
#
# Usage: clients.sh SCRIPTS PYTHON NODE NODE-CLIENT PROVIDER-CA
set -u
scripts=$1 python=$2 node=$3 node_client=$4 provider_ca=$5
status=0

# In the background, so that a signal reaches the client without waiting for its end.
client() {
    "$@" &
    running=$!
    wait "$running" || status=1
}
trap 'kill "$running"; wait "$running"; exit 1' INT TERM

client "$python" "$scripts/python_openai.py"
client "$python" "$scripts/python_anthropic.py"
client "$node" "$node_client"
client sh "$scripts/curl.sh" "$provider_ca"

exit "$status"
