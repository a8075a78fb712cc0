"""A service on wsgiref, which reads headers as CGI does: X-A and X_A are the same variable.

It prints each request that reaches it as a line of JSON, and returns that line.
"""
import json
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class Handler(WSGIRequestHandler):
    def get_environ(self):
        return {**super().get_environ(), "target": self.path}

    def log_message(self, *_):
        pass


def app(environ, start_response):
    length = environ.get("CONTENT_LENGTH") or "0"
    body = environ["wsgi.input"].read(int(length) if length.isdigit() else 0)
    names = [name for name in environ if name.startswith("HTTP_")]
    line = json.dumps({
        "upstream": "wsgi",
        "http": environ["SERVER_PROTOCOL"],
        "method": environ["REQUEST_METHOD"],
        "target": environ["target"],
        "headers": [[name.removeprefix("HTTP_"), environ[name]] for name in names],
        "body": body.decode("latin-1"),
    })
    # One write, so that no other thread's line is in between.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(line)))])
    return [line.encode()]


make_server("127.0.0.1", int(sys.argv[1]), app, Server, Handler).serve_forever()
