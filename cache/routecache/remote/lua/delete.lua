-- Delete a value and its lease, and have every listener told even if there was none: a DEL of a
-- missing key pushes nothing, a key that was written for an instant does.
-- KEYS[1] value, KEYS[2] lease. Returns whether there was a value.
local there = redis.call('UNLINK', KEYS[1])
redis.call('UNLINK', KEYS[2])
if there == 0 then
  redis.pcall('SET', KEYS[1], '', 'PX', 1)
  redis.call('UNLINK', KEYS[1])
end
return there
