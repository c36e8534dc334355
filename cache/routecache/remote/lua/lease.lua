-- Read a value and take part in its lease, in one step.
-- KEYS[1] value, KEYS[2] lease; ARGV[1] token offered, ARGV[2] its life in milliseconds, ARGV[3]
-- "1" to take the lease beside a value too (a refresh). Returns {value, token}: the token that
-- stands now, offered by whoever asked first since the last delete or set. All who load a key at
-- once share it; only the first fill that shows it is stored. What cannot be written (memory
-- full, a replica) costs the token and not the value.
local value = redis.pcall('GET', KEYS[1])
local foreign = type(value) == 'table' and value.err
if value and not foreign and ARGV[3] ~= '1' then
  return {value}
end
local token = redis.call('GET', KEYS[2])
if not token then
  local set = redis.pcall('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
  token = not set.err and ARGV[1]
end
if foreign then
  return {'', token}
end
return {value, token}
