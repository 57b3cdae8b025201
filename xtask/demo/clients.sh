#!/bin/sh
# All clients, one after the other. Fails if one failed, after the others had their turn.
#
# Usage: clients.sh SCRIPTS PYTHON NODE NODE-CLIENT PROVIDER-CA
set -u
scripts=$1 python=$2 node=$3 node_client=$4 provider_ca=$5
status=0

"$python" "$scripts/python_openai.py" || status=1
"$python" "$scripts/python_anthropic.py" || status=1
"$node" "$node_client" || status=1
sh "$scripts/curl.sh" "$provider_ca" || status=1

exit "$status"
