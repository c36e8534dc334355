"""One round trip to one node, for tasks: `exchange.py` over a link that they share."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from routecache.errors import RemoteError
from routecache.remote.aio_calls import Call
from routecache.remote.aio_link import Link
from routecache.remote.aio_links import Links
from routecache.remote.node import Node
from routecache.remote.transport import Command


class Sent(NamedTuple):
    """Commands that go out in this turn of the loop, whose replies `receive` awaits."""

    node: Node
    links: Links
    link: Link
    call: Call


def send(
    node: Node, links: Links, began: float, deadline: float, commands: Sequence[Command]
) -> Sent:
    """Send at least one command over the running loop's link to `node`. Waits for nothing.

    `began` is when the whole call did, in monotonic seconds as `deadline` is. Raises RemoteError
    if the links are closed, or what redis-py raises for commands that cannot be packed.
    """
    link = links.here()
    return Sent(node, links, link, link.submit(began, deadline, commands))


async def receive(sent: Sent) -> list[Any] | RemoteError:
    """The replies, an error reply as a RemoteError in its place; a RemoteError if there are none.

    Ends by the call's deadline. If the task is cancelled, nobody gets the replies.
    """
    call = sent.call
    try:
        return await call.future
    except BaseException:
        sent.link.abandon(call)
        raise
    finally:
        if call.waits:
            sent.node.stats.waited(call.waited())


def drop(sent: Sent) -> None:
    """Forgo the replies."""
    sent.call.future.cancel()
    sent.link.abandon(sent.call)
