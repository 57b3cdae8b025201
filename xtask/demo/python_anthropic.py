"""Anthropic's Python SDK, with standing instructions that are worth caching.

Prints a line for each answer: client, API, mode, and the id of the answer.
"""

from anthropic import Anthropic

# Some two thousand tokens: the first call writes them to the cache, the second reads them.
INSTRUCTIONS = "".join(
    f"Rule {number}: whoever opens gate {number} closes it before opening the next one.\n"
    for number in range(1, 121)
)


def message(question):
    return {
        "model": "claude-sonnet-5",
        "max_tokens": 512,
        "system": [
            {"type": "text", "text": INSTRUCTIONS, "cache_control": {"type": "ephemeral"}}
        ],
        "messages": [{"role": "user", "content": question}],
    }


def told(mode, answer):
    assert answer.content[0].text, f"the answer to messages {mode} has no text"
    print("python anthropic", "messages", mode, answer.id, sep="\t", flush=True)


with Anthropic() as client:
    told("plain", client.messages.create(**message("Which gate is open?")))
    with client.messages.stream(**message("Which gate is next?")) as stream:
        told("stream", stream.get_final_message())
