"""The site as a WSGI application (PEP 3333)."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from routecache_exporters.web.core import Site


def wsgi_app(site: Site) -> WSGIApplication:
    """`site` as a WSGI application, which may be mounted at any path. Safe for threads."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        headers = {
            name[5:].replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        for name in ("CONTENT_LENGTH", "CONTENT_TYPE"):  # these two have no prefix
            if name in environ:
                headers[name.replace("_", "-").lower()] = environ[name]
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        response = site.respond(
            method,
            path,
            headers,
            environ.get("QUERY_STRING", ""),
            mount=environ.get("SCRIPT_NAME", ""),
            read=environ["wsgi.input"].read if site.takes_body(method, path) else None,
        )
        status = f"{response.status.value} {response.status.phrase}"
        start_response(status, list(response.headers))
        return [response.body]

    return app


def beside_wsgi(app: WSGIApplication, exporter: WSGIApplication, path: str) -> WSGIApplication:
    """Both as one application: `exporter` at `path` and below, `app` everywhere else."""

    def both(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked = environ.get("PATH_INFO", "")
        if asked != path and not asked.startswith(path + "/"):
            return app(environ, start_response)
        mount = environ.get("SCRIPT_NAME", "") + path
        inside = {**environ, "SCRIPT_NAME": mount, "PATH_INFO": asked[len(path) :]}
        return exporter(inside, start_response)

    return both
