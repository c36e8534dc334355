"""The faulty network of the tests loses nothing unless it says so: TCP does not either."""

import socket
from typing import cast

from tests.proxy import Proxy
from tests.servers import RedisServer


class Client:
    """Takes bytes, and has the proxy stop dripping while the third of them goes out."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.received = b""

    def sendall(self, data: bytes) -> None:
        self.received += data
        if len(self.received) == 3:
            self.proxy.mode = "pass"


def test_no_byte_is_lost_where_dripping_ends(shared_redis: RedisServer) -> None:
    with Proxy(shared_redis.url.removeprefix("unix://"), drip_every=0) as proxy:
        proxy.mode = "drip"
        client = Client(proxy)
        proxy._drip(cast("socket.socket", client), b"abcdef")
    assert client.received == b"abcdef"
