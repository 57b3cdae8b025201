"""Servers of xAI's chats and of KServe's inference protocol over gRPC.

Usage: server.py ADDRESS CERTIFICATE KEY: listens on port 443. Says so when it does,
and then what it told of each call, a line of JSON each.
"""

import json
import sys
import threading
from concurrent import futures

import grpc
from tritonclient.grpc import service_pb2 as triton
from tritonclient.grpc import service_pb2_grpc as triton_grpc
from xai_sdk.proto import chat_pb2, chat_pb2_grpc, deferred_pb2, sample_pb2
from xai_sdk.proto import sample_pb2_grpc, usage_pb2

ADDRESS, CERTIFICATE, KEY = sys.argv[1:]

count = 0
printing = threading.Lock()


def tell(**told):
    with printing:
        print(json.dumps(told), flush=True)


def tell_usage(identifier, usage):
    tell(
        id=identifier,
        prompt=usage.prompt_tokens,
        completion=usage.completion_tokens,
        reasoning=usage.reasoning_tokens,
        cached=usage.cached_prompt_text_tokens,
        ticks=usage.cost_in_usd_ticks,
    )


def numbered():
    global count
    count += 1
    return f"chat-{count}"


def length(messages):
    return sum(len(part.text) for message in messages for part in message.content)


def usage_of(request, words):
    return used(length(request.messages), words)


def used(text, words):
    usage = usage_pb2.SamplingUsage(
        prompt_tokens=100 + text,
        prompt_text_tokens=100 + text,
        cached_prompt_text_tokens=64,
        completion_tokens=words,
        reasoning_tokens=11,
        cost_in_usd_ticks=1_234_567 + words,
    )
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens + usage.reasoning_tokens
    return usage


WORDS = ["A ", "weir ", "holds ", "the ", "river ", "back."]
ASSISTANT = chat_pb2.MessageRole.ROLE_ASSISTANT
STOP = sample_pb2.FinishReason.REASON_STOP


class Chat(chat_pb2_grpc.ChatServicer):
    def __init__(self):
        self.deferred, self.looked_at = {}, set()

    def StartDeferredCompletion(self, request, context):
        response = self.answer(request)
        identifier = f"deferred {response.id}"
        self.deferred[identifier] = response
        return deferred_pb2.StartDeferredResponse(request_id=identifier)

    def GetDeferredCompletion(self, request, context):
        identifier = request.request_id
        if identifier not in self.looked_at:
            self.looked_at.add(identifier)
            return chat_pb2.GetDeferredCompletionResponse(
                status=deferred_pb2.DeferredStatus.PENDING
            )
        return chat_pb2.GetDeferredCompletionResponse(
            status=deferred_pb2.DeferredStatus.DONE, response=self.deferred[identifier]
        )

    def GetStoredCompletion(self, request, context):
        if request.response_id == "chat-0":
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "none is kept")
        return self.deferred[f"deferred {request.response_id}"]

    def CompactContext(self, request, context):
        response = chat_pb2.CompactContextResponse(id=numbered(), encrypted_content="b3BhcXVl")
        response.usage.CopyFrom(used(length(request.input), 3))
        tell_usage(response.id, response.usage)
        return response

    def GetCompletion(self, request, context):
        if request.model == "dry":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no water, and none to come")
        if request.model == "slow":
            threading.Event().wait(context.time_remaining())
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "too slow")
        return self.answer(request)

    def answer(self, request):
        response = chat_pb2.GetChatCompletionResponse(id=numbered(), model=f"{request.model}-0709")
        for index in range(max(request.n, 1)):
            output = response.outputs.add(finish_reason=STOP, index=index)
            output.message.role = ASSISTANT
            output.message.content = "".join(WORDS)
        response.usage.CopyFrom(usage_of(request, len(WORDS) * max(request.n, 1)))
        tell_usage(response.id, response.usage)
        return response

    def GetCompletionChunk(self, request, context):
        identifier, model = numbered(), f"{request.model}-0709"
        for number, word in enumerate(WORDS, 1):
            chunk = chat_pb2.GetChatCompletionChunk(id=identifier, model=model)
            is_last = number == len(WORDS)
            output = chunk.outputs.add(finish_reason=STOP if is_last else 0)
            output.delta.role = ASSISTANT
            output.delta.content = word
            # A running total.
            chunk.usage.CopyFrom(usage_of(request, number))
            yield chunk
            if request.model == "breaking" and number == 3:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the dam broke")
            if request.model == "endless" and number == 3:
                gone = threading.Event()
                if context.add_callback(gone.set):
                    gone.wait()
                return
        tell_usage(identifier, chunk.usage)


class Sample(sample_pb2_grpc.SampleServicer):
    def SampleText(self, request, context):
        response = sample_pb2.SampleTextResponse(id=numbered(), model=f"{request.model}-1212")
        response.choices.add(text="".join(WORDS), finish_reason=STOP)
        response.usage.CopyFrom(used(len(request.prompt[0]), len(WORDS)))
        tell_usage(response.id, response.usage)
        return response

    def SampleTextStreaming(self, request, context):
        identifier = numbered()
        for number, word in enumerate(WORDS, 1):
            part = sample_pb2.SampleTextResponse(id=identifier, model=f"{request.model}-1212")
            part.choices.add(text=word, finish_reason=STOP if number == len(WORDS) else 0)
            part.usage.CopyFrom(used(len(request.prompt[0]), number))
            yield part
        tell_usage(identifier, part.usage)


class Inference(triton_grpc.GRPCInferenceServiceServicer):
    def ServerLive(self, request, context):
        return triton.ServerLiveResponse(live=True)

    def infer(self, request):
        response = triton.ModelInferResponse(
            model_name=request.model_name, model_version="1", id=request.id
        )
        for tensor, raw in zip(request.inputs, request.raw_input_contents):
            response.outputs.add(
                name=f"{tensor.name}_OUT", datatype=tensor.datatype, shape=tensor.shape
            )
            response.raw_output_contents.append(raw)
        return response

    def ModelInfer(self, request, context):
        if request.model_name == "none":
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such model")
        return self.infer(request)

    def ModelStreamInfer(self, request_iterator, context):
        for request in request_iterator:
            if request.model_name == "none":
                yield triton.ModelStreamInferResponse(error_message="there is no such model")
            else:
                yield triton.ModelStreamInferResponse(infer_response=self.infer(request))


def main():
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(16), options=options)
    chat_pb2_grpc.add_ChatServicer_to_server(Chat(), server)
    sample_pb2_grpc.add_SampleServicer_to_server(Sample(), server)
    triton_grpc.add_GRPCInferenceServiceServicer_to_server(Inference(), server)
    with open(CERTIFICATE, "rb") as certificate, open(KEY, "rb") as key:
        pair = (key.read(), certificate.read())
    server.add_secure_port(f"{ADDRESS}:443", grpc.ssl_server_credentials([pair]))
    server.start()
    print("listening", flush=True)
    server.wait_for_termination()


main()
