"""zstd frames in one piece, bounded. Imported only where compression is asked for.

backports.zstd is the standard library's compression.zstd for Python below 3.14: same interface,
typed, a wheel of 0.5 MB where zstandard's has 5.6 MB; from 3.14 on it is not needed at all.
"""

import sys
from typing import Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from routecache.errors import DecodeError

LEVELS: Final = zstd.CompressionParameter.compression_level.bounds()
_MIN_WINDOW_LOG: Final = zstd.DecompressionParameter.window_log_max.bounds()[0]


def compress(data: bytes, level: int) -> bytes:
    """One frame, which states its decompressed size."""
    # Not a context per thread, which would save 10 µs: at 8 MB values each would keep 3 MB.
    return zstd.compress(data, level)


def decompress(frame: bytes, max_bytes: int) -> bytes:
    """What one frame holds; raises DecodeError for more than `max_bytes` of it and for no frame.

    Three bounds against bombs: the size that the frame states, the window that it asks for (a
    decoder allocates that before the first byte), and what comes out.
    """
    try:
        stated = zstd.get_frame_info(frame).decompressed_size
        if (stated or 0) > max_bytes:  # None where the frame does not say
            raise DecodeError("a frame that states to hold more than is allowed")
        window = max(_MIN_WINDOW_LOG, (max_bytes - 1).bit_length())
        decoder = zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: window}
        )
        data = decoder.decompress(frame, max_bytes + 1)
    except (zstd.ZstdError, EOFError, MemoryError) as error:
        raise DecodeError("not a zstd frame") from error
    if len(data) > max_bytes:
        raise DecodeError("a frame that holds more than is allowed")
    if not decoder.eof or decoder.unused_data:
        raise DecodeError("not exactly one zstd frame")
    return data
