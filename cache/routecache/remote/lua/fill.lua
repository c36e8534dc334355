-- Store what a load gave, if no delete and no set came meanwhile.
-- KEYS[1] value, KEYS[2] lease; ARGV[1] payload, ARGV[2] milliseconds to live, ARGV[3] the load's
-- token. Returns 1 if it was stored; 0 if its token no longer stands, and 2 if moreover there is a
-- value: another process was first.
if redis.call('GET', KEYS[2]) ~= ARGV[3] then
  return redis.call('EXISTS', KEYS[1]) * 2
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('UNLINK', KEYS[2])
return 1
