"""The AWS SDK and Bedrock where calls fail: throttled and tried again, and
broken off by an exception within a stream.

Prints a JSON object for each attempt.
"""

import json
import sys

from botocore.exceptions import ClientError

# Nothing is to appear beside the sources.
sys.dont_write_bytecode = True
from session import MODEL, client, messages, say


def failing(**headers):
    """A client whose calls fail as the emulator is told to."""
    runtime = client()

    def ask(params, **_rest):
        params["headers"].update(headers)

    runtime.meta.events.register("before-call.bedrock-runtime", ask)
    return runtime


def throttled():
    runtime = failing(**{"x-emulator-fault": "429", "x-emulator-fault-times": "2"})

    def attempted(parsed_response, **_rest):
        say("attempt", parsed_response, parsed_response["ResponseMetadata"]["HTTPStatusCode"])

    runtime.meta.events.register("response-received.bedrock-runtime", attempted)
    runtime.converse(modelId=MODEL, **messages("What is a weir?"))


def broken_off(call, response, stream):
    heard = []
    try:
        for event in stream:
            heard.append(repr(event))
    except ClientError as error:
        heard.append(error.response["Error"]["Code"])
    say(call, response, heard)


throttled()
runtime = failing(**{"x-emulator-fault": "error-event"})
response = runtime.converse_stream(modelId=MODEL, **messages("What is a sluice?"))
broken_off("converse stream", response, response["stream"])
asked = {"prompt": "A dam is"}
response = runtime.invoke_model_with_response_stream(modelId=MODEL, body=json.dumps(asked))
broken_off("invoke stream", response, response["body"])
