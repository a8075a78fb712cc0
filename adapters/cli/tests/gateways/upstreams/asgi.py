"""A service on Hypercorn with its default settings, which accepts upgrades to HTTP/2 and WebSocket.

It prints each request that reaches it as a line of JSON, and returns that line, with the status
that a query such as answer=422 names.
"""
import json


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = b""
    if scope["type"] == "http":
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
    line = json.dumps({
        "upstream": "asgi",
        "http": scope["http_version"],
        "method": scope.get("method", "GET"),
        "target": (scope["raw_path"] + b"?" + scope["query_string"]).decode("latin-1"),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": body.decode("latin-1"),
    })
    print(line, flush=True)
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": line})
        await send({"type": "websocket.close"})
        return
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(line))]
    query = scope["query_string"]
    status = int(query.removeprefix(b"answer=")) if query.startswith(b"answer=") else 200
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": line.encode()})
