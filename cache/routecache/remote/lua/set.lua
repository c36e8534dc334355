-- Store the caller's statement of truth and end the lease, so that no load overwrites it.
-- KEYS[1] value, KEYS[2] lease; ARGV[1] payload, ARGV[2] milliseconds to live.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('UNLINK', KEYS[2])
return 1
