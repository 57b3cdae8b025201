"""Passes bodies on as they come, as a proxy of event streams has to."""


def requestheaders(flow):
    flow.request.stream = True


def responseheaders(flow):
    flow.response.stream = True
