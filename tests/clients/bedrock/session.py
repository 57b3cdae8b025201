"""What the scripts have in common: clients, and how their calls are told."""

import json

import boto3

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


# The key that the emulator knows.
KEY = {
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "aws_session_token": "test-0123456789",
}


def client(region="us-east-1", key=KEY):
    return boto3.client("bedrock-runtime", region_name=region, **key)


def say(call, response, answer, input_tokens=None, output_tokens=None):
    said = {
        "call": call,
        "id": response["ResponseMetadata"]["RequestId"],
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "answer": answer,
    }
    print(json.dumps(said), flush=True)


def messages(question, **more):
    return {"messages": [{"role": "user", "content": [{"text": question}]}], **more}
