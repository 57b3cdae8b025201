"""The AWS SDK and Bedrock: Converse and Invoke, whole and streamed, one after
the other and at the same time, signed and with an API key.

Prints a JSON object for each call: what was called, and what the SDK says of the answer.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

# Nothing is to appear beside the sources.
sys.dont_write_bytecode = True
from session import MODEL, client, messages, say

ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/" + MODEL
# Long enough to be worth caching: the first call writes it, the second reads it.
RULES = "".join(f"Rule {number}: close gate {number} first.\n" for number in range(1, 121))
LEVEL = {"type": "object", "properties": {"gate": {"type": "string"}}}
SPECIFICATION = {
    "name": "read_level",
    "description": "Reads a gauge.",
    "inputSchema": {"json": LEVEL},
}
TOOLS = {"tools": [{"toolSpec": SPECIFICATION}]}


def all_input(usage):
    cached = usage["cacheReadInputTokens"] + usage["cacheWriteInputTokens"]
    return usage["inputTokens"] + cached


def converse(runtime, call, question, model=MODEL, **more):
    response = runtime.converse(modelId=model, **messages(question, **more))
    return told(call, response, response["output"]["message"]["content"])


def told(call, response, answer):
    usage = response["usage"]
    say(call, response, answer, all_input(usage), usage["outputTokens"])
    return answer


def converse_stream(runtime, call, question, model=MODEL, **more):
    response = runtime.converse_stream(modelId=model, **messages(question, **more))
    return lambda: streamed(call, response)


def streamed(call, response):
    answer, usage = [], None
    for event in response["stream"]:
        # Padding, which the SDK does not know either, is not in it.
        [(name, content)] = event.items()
        answer.append([name, content])
        if name == "metadata":
            usage = content["usage"]
    say(call, response, answer, all_input(usage), usage["outputTokens"])


def in_blocks(runtime):
    converse(runtime, "converse", "What is a weir?")
    converse_stream(runtime, "converse stream", "What is a sluice?")()
    converse(runtime, "converse by ARN", "What is a lock?", model=ARN)
    tier = {"serviceTier": {"type": "flex"}, "inferenceConfig": {"maxTokens": 9}}
    converse(runtime, "converse flex", "What is a flume?", **tier)

    system = [{"text": RULES}, {"cachePoint": {"type": "default"}}]
    converse(runtime, "converse cached first", "Which gate is first?", system=system)
    converse_stream(runtime, "converse cached last", "Which gate is last?", system=system)()

    question = messages("Call read_level for the north gate.", toolConfig=TOOLS)
    response = runtime.converse(modelId=MODEL, **question)
    [call] = told("converse tool", response, response["output"]["message"]["content"])
    result = {"toolUseId": call["toolUse"]["toolUseId"], "content": [{"json": {"metres": 2.4}}]}
    question["messages"] += [
        response["output"]["message"],
        {"role": "user", "content": [{"toolResult": result}]},
    ]
    response = runtime.converse(modelId=MODEL, **question)
    told("converse tool's result", response, response["output"]["message"]["content"])
    south = "Call read_level for the south gate."
    converse_stream(runtime, "converse stream tool", south, toolConfig=TOOLS)()

    count = {"converse": messages("How long is this?")}
    response = runtime.count_tokens(modelId="anthropic.claude-3-5-haiku-20241022-v1:0", input=count)
    response["ResponseMetadata"]["RequestId"] = None
    say("count", response, response["inputTokens"], response["inputTokens"])


def invoke(runtime, call, model, body, count):
    response = runtime.invoke_model(modelId=model, body=json.dumps(body))
    answer = json.loads(response["body"].read())
    say(call, response, answer, *count(answer))


def invoke_stream(runtime, call, model, body):
    stream = runtime.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
    chunks = [json.loads(event["chunk"]["bytes"]) for event in stream["body"]]
    metrics = chunks[-1]["amazon-bedrock-invocationMetrics"]
    cached = [metrics.get(f"cache{kind}InputTokenCount", 0) for kind in ("Read", "Write")]
    say(call, stream, chunks, metrics["inputTokenCount"] + sum(cached), metrics["outputTokenCount"])


def claude(question, **more):
    asked = [{"role": "user", "content": question}]
    version = "bedrock-2023-05-31"
    return {"anthropic_version": version, "max_tokens": 2048, "messages": asked, **more}


def of_claude(answer):
    usage = answer["usage"]
    cached = usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
    return usage["input_tokens"] + cached, usage["output_tokens"]


def of_nova(answer):
    usage = answer["usage"]
    return usage["inputTokens"], usage["outputTokens"]


def of_llama(answer):
    return answer["prompt_token_count"], answer["generation_token_count"]


def of_titan(answer):
    return answer["inputTextTokenCount"], 0


def in_formats_of_models(runtime):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    invoke(runtime, "invoke claude", MODEL, claude("What is a weir?"), of_claude)
    system = [{"type": "text", "text": RULES, "cache_control": {"type": "ephemeral"}}]
    question = claude("What is a rule?", system=system, thinking=thinking)
    invoke_stream(runtime, "invoke claude stream", MODEL, question)
    nova, llama = "us.amazon.nova-lite-v1:0", "meta.llama3-3-70b-instruct-v1:0"
    invoke(runtime, "invoke nova", nova, messages("What is a weir?"), of_nova)
    invoke_stream(runtime, "invoke nova stream", nova, messages("What is a dam?"))
    invoke(runtime, "invoke llama", llama, {"prompt": "A weir is"}, of_llama)
    invoke_stream(runtime, "invoke llama stream", llama, {"prompt": "A dam is"})
    titan = "amazon.titan-embed-text-v2:0"
    invoke(runtime, "embed", titan, {"inputText": "weir", "dimensions": 256}, of_titan)


def at_once(runtime):
    """Streams that are all begun before the first of them is read."""
    questions = [f"Why is weir number {number} low?" for number in range(4)]
    with ThreadPoolExecutor() as threads:
        begun = threads.map(lambda it: converse_stream(runtime, "at once", it), questions)
        for read in list(begun):
            read()


in_blocks(client())
in_formats_of_models(client("eu-central-1"))
at_once(client())
os.environ["AWS_BEARER_TOKEN_BEDROCK"] = "test-0123456789"
converse(client(key={}), "converse with a key", "What is a key?")
