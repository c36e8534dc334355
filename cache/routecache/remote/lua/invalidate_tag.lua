-- KEYS[1] tag key, ARGV[1] its life in milliseconds. Writes the server's own time in microseconds
-- and returns it: every entry whose load began at or before it is a miss from now on.
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000000 + t[2])
redis.call('SET', KEYS[1], now, 'PX', ARGV[1])
return now
