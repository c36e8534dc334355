"""Many routers' /metrics on one port: /0, /1, ... Started as a process of its own.

python -m bench.scale.fleet PORT ROUTERS RATE < page.json
"""

import asyncio
import json
import sys
import time

from bench.scale.page import Clock, Line, Page, busy


async def _serve(port: int, page: Page, clocks: list[Clock]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readline():
                while (await reader.readline()).strip():
                    pass
                number = int(request.split()[1].removeprefix(b"/"))
                body = page.at(clocks[number].at(time.monotonic())).encode()
                head = (
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n"
                )
                writer.write(head.encode() + body)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until the process is ended."""
    port, routers, rate = (float(argument) for argument in sys.argv[1:4])
    page = Page(tuple(Line(*line) for line in json.load(sys.stdin)), 0)
    asyncio.run(_serve(int(port), page, [busy(i, rate) for i in range(int(routers))]))


if __name__ == "__main__":
    main()
