"""Has this key been asked before? In constant memory, for logs with any number of distinct keys."""

from hashlib import blake2b

_BITS = 1 << 23  # 1 MiB
_HASHES = 4


class Seen:
    """A Bloom filter over keys.

    `first(key)` never calls a repeated key new. Rarely it takes a new key for a repeated one (by
    100,000 keys 5 in a million, by a million keys 2 in 100), which leaves that key out of a share
    and does not bias it. The same keys give the same answers in every process.
    """

    def __init__(self) -> None:
        self._bits = bytearray(_BITS // 8)

    def first(self, key: str) -> bool:
        """Whether `key` was not given before; remembers it."""
        digest = blake2b(key.encode(errors="surrogatepass"), digest_size=_HASHES * 4).digest()
        new = False
        for i in range(0, len(digest), 4):
            bit = int.from_bytes(digest[i : i + 4]) % _BITS
            byte, mask = bit >> 3, 1 << (bit & 7)
            if not self._bits[byte] & mask:
                self._bits[byte] |= mask
                new = True
        return new
