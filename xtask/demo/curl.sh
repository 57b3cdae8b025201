#!/bin/sh
# curl, over both versions of HTTP. Prints a line for each answer: client, API, mode, and the id
# of the answer.
#
# Usage: curl.sh PROVIDER-CA
set -u
provider_ca=$1
status=0

chat='{"model":"gpt-4.1-mini","stream":true,"messages":[{"role":"user","content":"How old are weirs?"}]}'
message='{"model":"claude-sonnet-5","max_tokens":256,"messages":[{"role":"user","content":"How old are dams?"}]}'

# told API MODE CURL-ARGUMENT...
told() {
    api=$1 mode=$2
    shift 2
    if ! answer=$(curl --fail --silent --show-error "$@"); then
        status=1
        return
    fi
    # The first id is that of the answer.
    id=$(printf '%s\n' "$answer" |
        sed -n 's/.*"id": *"\(\(chatcmpl-\|msg_\)[^"]*\)".*/\1/p' | head -n 1)
    printf 'curl\t%s\t%s\t%s\n' "$api" "$mode" "$id"
}

for version in --http1.1 --http2; do
    told chat stream "$version" https://api.openai.com/v1/chat/completions \
        --header "authorization: Bearer $OPENAI_API_KEY" \
        --header 'content-type: application/json' --data "$chat"
    told messages plain "$version" https://api.anthropic.com/v1/messages \
        --header "x-api-key: $ANTHROPIC_API_KEY" --header 'anthropic-version: 2023-06-01' \
        --header 'content-type: application/json' --data "$message"
done

# A host that no catalogue lists. curl trusts nobody here but the provider's own CA, and would
# refuse a certificate of weir's.
curl --fail --silent --show-error --output /dev/null --cacert "$provider_ca" \
    https://docs.example.org/emulator/ || status=1

exit "$status"
