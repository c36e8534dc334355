-- Lengthen a lease (ARGV[2] milliseconds, 0 ends it) if ARGV[1] is still its token. KEYS[1] lease.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '0' then
  return redis.call('UNLINK', KEYS[1])
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
