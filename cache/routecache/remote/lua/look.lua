-- Look at a value and its lease in one step, and change nothing.
-- KEYS[1] value, KEYS[2] lease. Returns {value, its milliseconds to live, lease token, its
-- milliseconds to live}, the times as PTTL gives them; '' stands for a value of a foreign type.
local function get(key)
  local found = redis.pcall('GET', key)
  return type(found) == 'table' and '' or found
end
return {get(KEYS[1]), redis.call('PTTL', KEYS[1]), get(KEYS[2]), redis.call('PTTL', KEYS[2])}
