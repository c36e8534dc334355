"""Serializers: values to bytes and back, without changing a value's type on the way.

A value that came back from L2 as another type than L1 holds would make a program's behaviour
depend on which tier answered. So `dumps` refuses what `loads` would not give back equal, and
`loads` answers whatever else stands in Redis with DecodeError, which a cache counts as a miss.

`JsonSerializer` is the default, `MsgpackSerializer` takes bytes and times too, `TypedSerializer`
takes the classes of a program. `CompressedSerializer` and `SignedSerializer` wrap another one:
`SignedSerializer(CompressedSerializer(JsonSerializer(), over=1024), key)`, in this order, so that
nothing is decompressed that was not signed.
"""

from routecache.serializers.compressed import CompressedSerializer
from routecache.serializers.plain import JsonSerializer, MsgpackSerializer
from routecache.serializers.signed import SignedSerializer
from routecache.serializers.typed import TypedSerializer

__all__ = [
    "CompressedSerializer",
    "JsonSerializer",
    "MsgpackSerializer",
    "SignedSerializer",
    "TypedSerializer",
]
