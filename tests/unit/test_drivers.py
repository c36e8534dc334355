"""The asyncio drivers are the sync ones with `async` and `await`, so that they cannot drift."""

import ast
from pathlib import Path

import pytest

import routecache

ROOT = Path(routecache.__file__).parent

# What may differ, and why: the names of the two sides.
NAMES = {
    "AsyncTiers": "SyncTiers",
    "AsyncWaits": "SyncWaits",
    "AsyncRemote": "Remote",
    "AsyncioRemote": "SyncRemote",
    "AsyncCacheManager": "BaseCacheManager",
    "AsyncCachedCall": "CachedCall",
    "AsyncCachedClassMethod": "CachedClassMethod",
    "AsyncCachedFunction": "CachedFunction",
    "AsyncRoutingCache": "RoutingCache",
    "AsyncTransport": "Transport",
    "AsyncClusterTransport": "ClusterTransport",
    "AsyncServerTransport": "ServerTransport",
    "AnySource": "Source",
    "AsyncWarmUp": "SyncWarmUp",
    "Tasks": "Threads",
}


class _Stripped(ast.NodeTransformer):
    """Takes `async` and `await` away, and docstrings, which say what differs."""

    def visit_Await(self, node: ast.Await) -> ast.AST:  # ast's own name
        found: ast.AST = self.visit(node.value)
        return found

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        plain = ast.FunctionDef(**{name: getattr(node, name) for name in node._fields})
        return self.visit_FunctionDef(ast.copy_location(plain, node))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        node.name = NAMES.get(node.name, node.name)
        node.body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = NAMES.get(node.id, node.id)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str):  # a quoted annotation
            node.value = NAMES.get(node.value, node.value)
        return node


def methods(path: Path, class_name: str) -> dict[str, str]:
    """The methods of a class, without `async` and `await`, as text."""
    tree = ast.parse(path.read_text("utf-8"))
    (found,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == class_name]
    stripped = _Stripped().visit(found)
    return {
        node.name: ast.unparse(node) for node in stripped.body if isinstance(node, ast.FunctionDef)
    }


def test_the_drivers_do_the_same_in_the_same_order() -> None:
    sync = methods(ROOT / "tiered/_sync.py", "SyncTiers")
    awaited = methods(ROOT / "tiered/_async.py", "AsyncTiers")
    assert len(sync) > 20
    assert awaited == sync


def test_the_drivers_of_a_warm_up_take_the_same_steps() -> None:
    sync = methods(ROOT / "warming/_sync.py", "SyncWarmUp")
    awaited = methods(ROOT / "warming/_async.py", "AsyncWarmUp")
    assert len(sync) > 8
    assert awaited == sync


def test_the_remotes_send_the_same_commands() -> None:
    sync = methods(ROOT / "remote/sync.py", "SyncRemote")
    awaited = methods(ROOT / "remote/aio.py", "AsyncioRemote")
    # Built on a SyncRemote, whose clock, circuit, listener and background it shares.
    shared = {"__init__", "alias", "available", "deadline", "left", "server_times", "watch",
              "in_background", "awaited", "close"}  # fmt: skip
    commands = set(sync) - shared
    assert commands == set(awaited) - shared
    assert len(commands) >= 9
    for name in commands:
        assert (
            awaited[name].replace("self._clock.", "self.transport.").replace("self._sync.", "self.")
            == sync[name]
        )


def test_the_cluster_transports_take_the_same_steps() -> None:
    sync = methods(ROOT / "remote/cluster_transport.py", "ClusterTransport")
    awaited = methods(ROOT / "remote/aio_cluster.py", "AsyncClusterTransport")
    for name in ("execute", "execute_everywhere"):
        assert awaited[name] == sync[name]


def test_a_change_in_one_driver_is_noticed(tmp_path: Path) -> None:
    text = (ROOT / "tiered/_async.py").read_text("utf-8")
    changed = tmp_path / "changed.py"
    changed.write_text(text.replace("core.end_writes(writes)", "core.end_writes(writes[1:])"))
    assert methods(changed, "AsyncTiers") != methods(ROOT / "tiered/_sync.py", "SyncTiers")


@pytest.mark.parametrize("name", ["get", "get_or_load"])
def test_the_hit_path_of_the_asyncio_manager_is_that_of_the_sync_one(name: str) -> None:
    sync = methods(ROOT / "manager.py", "BaseCacheManager")[name]
    awaited = methods(ROOT / "async_manager.py", "AsyncCacheManager")[name]
    assert awaited.replace("self._open()", "self.tiers") == sync


def test_the_routing_caches_do_the_same_in_the_same_order() -> None:
    sync = methods(ROOT / "routing/cache.py", "RoutingCache")
    awaited = methods(ROOT / "routing/async_cache.py", "AsyncRoutingCache")
    # How they are made and ended, and what each owns.
    apart = {"__init__", "_unconnected", "_manager", "from_sync", "_share", "close",
             "__enter__", "__exit__", "__aenter__", "__aexit__"}  # fmt: skip
    common = set(sync) - apart
    assert common == set(awaited) - apart
    assert len(common) > 15
    for name in common:
        # The sync cache refuses coroutine hooks, and starts those of a face without waiting.
        same = awaited[name].replace("tell_awaited", "tell").replace("add_awaited", "add")
        assert same.replace("AsyncInvalidationHook", "InvalidationHook") == sync[name]


@pytest.mark.parametrize("name", ["CachedCall", "CachedFunction", "CachedClassMethod"])
def test_decorated_coroutine_functions_do_what_decorated_functions_do(name: str) -> None:
    sync = methods(ROOT / "decorating/_sync.py", name)
    awaited = methods(ROOT / "decorating/_async.py", "Async" + name)
    # The annotation of what is called.
    assert awaited.pop("__init__", "").replace("Coroutine[Any, Any, R]", "R") == sync.pop(
        "__init__", ""
    )
    assert sync
    assert awaited == {
        key: text.replace("'CachedFunction[", "'AsyncCachedFunction[") for key, text in sync.items()
    }


def _arguments(method: str) -> str:
    (function,) = ast.parse(method).body
    assert isinstance(function, ast.FunctionDef)
    return ast.unparse(function.args)


def test_the_managers_have_the_same_methods_with_the_same_arguments() -> None:
    sync = methods(ROOT / "manager.py", "BaseCacheManager")
    awaited = methods(ROOT / "async_manager.py", "AsyncCacheManager")
    public = {name for name in sync if not name.startswith("_")}
    assert public == {name for name in awaited if not name.startswith("_")} - {"from_sync"}
    assert "invalidate_together" in public
    for name in public:
        assert _arguments(awaited[name]) == _arguments(sync[name])
