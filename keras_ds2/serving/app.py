"""The server's addresses, and who may ask for them."""

import contextlib
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from keras_ds2.serving.file_request import transcribe
from keras_ds2.serving.live_connection import LiveConnection
from keras_ds2.serving.loopback import names_loopback
from keras_ds2.serving.openapi import openapi_description
from keras_ds2.serving.service import Service

_PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/microphone.js": ("microphone.js", "text/javascript"),
}
"""All files that the server gives away, read when it starts: no path of a request is opened."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_NOT_LOOPBACK = (
    "Host: expected localhost or a loopback address: this server listens to its own machine and "
    "has no token; set KERAS_DS2_TOKEN where it is started to reach it by another name"
)


def make_app(service: Service, local: bool = False) -> Starlette:
    """The ASGI application.

    Args:
        service: started with the application, and stopped with it.
        local: bool, whether to answer requests alone that name this machine by a loopback name or
            address. A page of another server, whose name was made to mean this machine (DNS
            rebinding), is told apart from this server's own by nothing else.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app):
        await run_in_threadpool(service.start)
        yield
        await run_in_threadpool(service.stop)

    async def stream(websocket):
        if _from_another_page(websocket):
            await websocket.close()
            return
        await LiveConnection(websocket, service, _bearer(websocket)).run()

    async def post_file(request):
        if _from_another_page(request):
            return JSONResponse({"error": "asked for by a page of another origin"}, 403)
        return _unauthorised(request) or await transcribe(request, service)

    async def metrics(request):
        text = Response(service.metrics.text(), media_type="text/plain; version=0.0.4")
        return _unauthorised(request) or text

    async def health(request):
        status = "stopping" if service.draining else "ok"
        return JSONResponse({"status": status}, 503 if service.draining else 200)

    async def model(request):
        step = service.step
        return JSONResponse(
            {
                "sampling_rate": service.sampling_rate,
                "streams": step is not None,
                "why_not": service.cannot_stream,
                "latency_ms": None if step is None else round(step.latency_ms, 3),
                "needs_token": service.needs_token,
                "max_session_seconds": service.limits.max_session_seconds,
                "max_file_seconds": service.limits.max_file_seconds,
            }
        )

    async def openapi(request):
        return JSONResponse(openapi_description(service.limits))

    def _unauthorised(request):
        if service.admits(_bearer(request)):
            return None
        return JSONResponse(
            {"error": "expected the header Authorization: Bearer and the server's token"},
            401,
            {"WWW-Authenticate": "Bearer"},
        )

    def page(name, media_type):
        content = (Path(__file__).parent / "page" / name).read_bytes()

        async def give(request):
            return Response(content, media_type=f"{media_type}; charset=utf-8")

        return give

    app = Starlette(
        routes=[
            WebSocketRoute("/v1/stream", stream),
            Route("/v1/transcribe", post_file, methods=["POST"]),
            Route("/v1/model", model),
            Route("/healthz", health),
            Route("/metrics", metrics),
            Route("/openapi.json", openapi),
            *(Route(path, page(*file)) for path, file in _PAGE.items()),
        ],
        exception_handlers={404: _not_found, 405: _not_found},
        lifespan=lifespan,
    )
    if local:
        app.add_middleware(_AskedAsLoopback)
    app.add_middleware(_WithHeaders)
    return app


class _AskedAsLoopback:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan" or names_loopback(Headers(scope=scope).get("host", "")):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await JSONResponse({"error": _NOT_LOOPBACK}, 403)(scope, receive, send)


class _WithHeaders:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


async def _not_found(request, error):
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _bearer(connection: HTTPConnection) -> str | None:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _from_another_page(connection: HTTPConnection) -> bool:
    """Whether a browser says that a page of another server asks, to use what only it can reach."""
    origin = connection.headers.get("origin")
    if origin is None:
        return False
    try:
        place = urlsplit(origin).netloc
    except ValueError:
        return True
    return not place or place != connection.headers.get("host")
