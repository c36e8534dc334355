"""The Lua scripts: what must happen in one step on the server."""

import hashlib
from importlib import resources

from routecache.remote.transport import Command


class Script:
    """One script, sent by its digest and in full when the server does not know it (yet)."""

    def __init__(self, name: str) -> None:
        folder = resources.files("routecache.remote").joinpath("lua")
        self.text = folder.joinpath(f"{name}.lua").read_text("utf-8")
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, keys: tuple[bytes, ...], *args: object) -> Command:
        """The command that runs the script on `keys`, which lie in one slot."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)


lease = Script("lease")
fill = Script("fill")
set_value = Script("set")
delete = Script("delete")
renew = Script("renew")
invalidate_tag = Script("invalidate_tag")
look = Script("look")

_BY_SHA = {s.sha: s for s in (lease, fill, set_value, delete, renew, invalidate_tag, look)}


def in_full(command: Command) -> Command:
    """The same command for a server that answered NOSCRIPT; it keeps the script from then on."""
    return ("EVAL", _BY_SHA[command[1]].text, *command[2:])
