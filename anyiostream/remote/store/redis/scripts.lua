-- What a server asks of the store, each whole or not at all. For Lua 5.1 as Redis 6.2 and Valkey have it.
--
-- Keys, behind the prefix:
--   meta            hash: `schema`, and `canary` where content is encoded; `newest`, `used`: the greatest generation,
--                   and place of an erased log; `indexed`: that all threads are in the sets of their owners
--   t:T:rec         hash: the record of thread T, and what is counted of its log
--   t:T:log         stream: its events, each at `<place>-0`: h its head, b its body, p the place before it
--   t:T:in          hash: its commands, place -> packed
--   t:T:once        hash: what was answered to commands, key -> packed; `#<number>` -> key
--   servers         sorted set: server -> when its lease runs out, in µs
--   held:S          set: threads that server S has claimed
--   news:S          stream: what server S has to know: `i` commands for a thread, `l` a thread that it has lost, `e` those
--                   that are erased, with commas between them: somebody may read them there
--   ready           sorted set: threads with commands that nobody has -> since when
--   wake            stream: that there is one
--   idle            sorted set: thread -> when something happened last
--   of:O            sorted set: the same for the threads of one owner, O being a digest of whose they are
--
-- Generations, epochs and places come from the clock, at least: none is given twice, whatever has been forgotten.
--
-- No key is declared: all of them are one server's, which is no Cluster. Numbers are doubles, exact up to 2^53; `text`
-- writes them, since Lua's own way gives 14 digits.

local call = redis.call
local prefix, given, operation = ARGV[1], ARGV[2], ARGV[3]
local args = {unpack(ARGV, 4)}

local EPOCH_2024 = 1704067200000000
local REMEMBERED = 256
local STOP = 1  -- as `stops.py` has it
local NEWS = 10000
local RECORD = {'owner', 'id', 'gen', 'epoch', 'holder', 'floor', 'last', 'pending', 'fold', 'folded', 'watched'}

local function text(number)
  return string.format('%.0f', number)
end

local function name(...)
  return prefix .. ':' .. table.concat({...}, ':')
end

local function of(thread, what)
  return prefix .. ':t:' .. thread .. ':' .. what
end

local time
local function now()
  if not time then
    if given ~= '' then
      time = tonumber(given)
    else
      local parts = call('TIME')
      time = parts[1] * 1000000 + parts[2]
    end
  end
  return time
end

local function get(thread, field)
  return call('HGET', of(thread, 'rec'), field)
end

local function count(thread, field)
  return tonumber(get(thread, field) or 0)
end

-- What comes after a number that may have been forgotten, with everything that was given after it.
local function unused(last)
  return math.max(last + 1, now())
end

local function alive(server)
  local lease = server and server ~= '' and call('ZSCORE', name('servers'), server)
  return lease and tonumber(lease) > now()
end

local function tell(server, kind, thread)
  call('XADD', name('news', server), 'MAXLEN', '~', NEWS, '*', 'k', kind, 't', thread)
end

local function owned(owner)
  return name('of', redis.sha1hex(owner))
end

local function touch(thread, owner)
  local at = text(now())
  call('ZADD', name('idle'), at, thread)
  call('ZADD', owned(owner), at, thread)
end

local function make(thread, owner, id)
  if call('EXISTS', of(thread, 'rec')) == 1 then
    return
  end
  local generation = unused(tonumber(call('HGET', name('meta'), 'newest') or 0))
  call('HSET', name('meta'), 'newest', text(generation))
  call('HSET', of(thread, 'rec'), 'owner', owner, 'id', id, 'gen', text(generation), 'epoch', 0, 'holder', '',
    'nonce', '', 'floor', 0, 'last', 0, 'count', 0, 'size', 0, 'pending', '[]', 'placed', 0, 'watched', 0)
  touch(thread, owner)
end

local function inbox(thread)
  local packed = call('HGETALL', of(thread, 'in'))
  local commands = {}
  for i = 1, #packed, 2 do
    local command = cmsgpack.unpack(packed[i + 1])
    command.place = tonumber(packed[i])
    commands[#commands + 1] = command
  end
  table.sort(commands, function(a, b) return a.place < b.place end)
  return commands
end

local function keep(thread, place, command)
  call('HSET', of(thread, 'in'), text(place), cmsgpack.pack({
    run = command.run, body = command.body, attempts = command.attempts, cancelled = command.cancelled, at = command.at,
  }))
end

local function one(thread, place)
  local packed = call('HGET', of(thread, 'in'), text(place))
  return packed and cmsgpack.unpack(packed)
end

local function standing(thread)
  local commands = {}
  for _, each in ipairs(inbox(thread)) do
    commands[#commands + 1] = {each.place, each.run, each.body, each.attempts, each.cancelled}
  end
  return {call('HMGET', of(thread, 'rec'), unpack(RECORD)), commands}
end

-- A thread that nobody has, and that has commands, is there to be claimed.
local function offer(thread, since, wake)
  if call('HLEN', of(thread, 'in')) > 0 then
    call('ZADD', name('ready'), 'NX', since, thread)
    if wake then
      call('XADD', name('wake'), 'MAXLEN', '~', 1000, '*', 't', thread)
    end
  end
end

local function give_up(thread)
  local holder = get(thread, 'holder')
  if holder and holder ~= '' then
    call('HSET', of(thread, 'rec'), 'holder', '')
    call('SREM', name('held', holder), thread)
  end
end

-- Somebody has to know that a thread has commands, or that one of them is to be stopped: whoever has it.
local function announce(thread, wake)
  local holder = get(thread, 'holder')
  if alive(holder) then
    tell(holder, 'i', thread)
  elseif holder == '' then
    offer(thread, now(), wake)
  end
end

-- A call that comes a second time, which a network may do to it late, is known however long ago that was.
local function known(thread, once, within, reply)
  local packed = call('HGET', of(thread, 'once'), once)
  local found = packed and cmsgpack.unpack(packed)
  return found and (math.abs(now() - found.at) <= within or found.reply == reply) and found or nil
end

local function remember(thread, once, place, reply)
  local replies = of(thread, 'once')
  local n = call('HINCRBY', of(thread, 'rec'), 'replies', 1)
  call('HSET', replies, once, cmsgpack.pack({at = now(), place = place, reply = reply, n = n}), '#' .. text(n), once)
  local old = '#' .. text(n - REMEMBERED)
  local forgotten = call('HGET', replies, old)
  if forgotten then
    local packed = call('HGET', replies, forgotten)
    if packed and cmsgpack.unpack(packed).n == n - REMEMBERED then
      call('HDEL', replies, forgotten)
    end
    call('HDEL', replies, old)
  end
end

-- Forgets the oldest events beyond the limits, but never the newest one.
local function trim(thread, held, size, floor, most_events, most_bytes)
  local log = of(thread, 'log')
  while held > 1 and (held > most_events or size > most_bytes) do
    for _, each in ipairs(call('XRANGE', log, '-', '+', 'COUNT', 16)) do
      if held <= 1 or (held <= most_events and size <= most_bytes) then
        break
      end
      floor = tonumber(string.match(each[1], '^%d+'))
      held = held - 1
      size = size - #each[2][4]
    end
    call('XTRIM', log, 'MINID', '=', text(floor + 1) .. '-0')
  end
  return held, size, floor
end

-- The entries of a stream after an id: at most so many, and none after those that have so many bytes, but one if there
-- is any. Also how many bytes they have, and whether there may be more.
local function following(stream, id, most, most_bytes)
  local entries, size = {}, 0
  while #entries < most and size < most_bytes do
    local wanted = math.min(most - #entries, 32)
    local some = call('XRANGE', stream, '(' .. id, '+', 'COUNT', wanted)
    for _, each in ipairs(some) do
      if size >= most_bytes then
        return entries, size, true
      end
      entries[#entries + 1], id = each, each[1]
      for _, part in ipairs(each[2]) do
        size = size + #part
      end
    end
    if #some < wanted then
      return entries, size, false
    end
  end
  return entries, size, true
end

local function erase(thread)
  local holder = get(thread, 'holder')
  if not holder then
    return false
  end
  local used = math.max(tonumber(call('HGET', name('meta'), 'used') or 0), count(thread, 'last'))
  call('ZREM', owned(get(thread, 'owner')), thread)
  call('HSET', name('meta'), 'used', text(used))
  if alive(holder) then
    tell(holder, 'l', thread)
  end
  give_up(thread)
  call('DEL', of(thread, 'rec'), of(thread, 'log'), of(thread, 'in'), of(thread, 'once'))
  call('ZREM', name('ready'), thread)
  call('ZREM', name('idle'), thread)
  return true
end

-- Whoever reads threads that are erased has to know, at any server.
local function tell_all(threads)
  if #threads > 0 then
    for _, server in ipairs(call('ZRANGEBYSCORE', name('servers'), '(' .. text(now()), '+inf')) do
      tell(server, 'e', table.concat(threads, ','))
    end
  end
end

local operations = {}

-- --- threads ---

function operations.look(thread)
  return call('EXISTS', of(thread, 'rec')) == 1 and standing(thread)
end

-- An owner's threads, those touched last first. Those that a server of version 0.1.0 has erased leave the set here.
function operations.listed(owner, since, skip, most)
  local found, from, rest = {}, tonumber(skip), tonumber(most)
  while rest > 0 do
    local threads = call('ZRANGE', owned(owner), '+inf', since, 'BYSCORE', 'REV', 'LIMIT', from, rest, 'WITHSCORES')
    if #threads == 0 then
      break
    end
    for i = 1, #threads, 2 do
      local thread = threads[i]
      local rec = call('HMGET', of(thread, 'rec'), 'id', 'gen', 'last', 'label')
      if rec[1] then
        found[#found + 1] = {thread, rec[1], rec[2], text(tonumber(threads[i + 1])), rec[3],
          call('HLEN', of(thread, 'in')), rec[4]}
        from, rest = from + 1, rest - 1
      else
        call('ZREM', owned(owner), thread)
      end
    end
  end
  return found
end

-- Leaves for lists what was read of a thread. A server of version 0.1.0 says only in `idle` that something has happened.
function operations.label(thread, generation, touched, last, label)
  local rec = call('HMGET', of(thread, 'rec'), 'gen', 'last', 'label')
  local since = call('ZSCORE', name('idle'), thread)
  if rec[1] == generation and rec[2] == last and not rec[3] and since and text(tonumber(since)) == touched
    and call('HLEN', of(thread, 'in')) == 0 then
    call('HSET', of(thread, 'rec'), 'label', label)
  end
  return 1
end

-- Puts threads that version 0.1.0 has made into the sets of their owners; 0 if there are none left. From the newest
-- one on: those that are touched meanwhile then shift others to where they are still found.
function operations.index(skip, most)
  if call('HGET', name('meta'), 'indexed') then
    return 0
  end
  local threads = call('ZRANGE', name('idle'), skip, skip + most - 1, 'REV', 'WITHSCORES')
  for i = 1, #threads, 2 do
    local owner = get(threads[i], 'owner')
    if owner then
      call('ZADD', owned(owner), threads[i + 1], threads[i])
    end
  end
  if #threads == 0 then
    call('HSET', name('meta'), 'indexed', 1)
  end
  return #threads / 2
end

function operations.make(thread, owner, id)
  make(thread, owner, id)
  return standing(thread)
end

function operations.accept(thread, owner, id, run, body, reply, once, answers, most, within)
  answers, most, within = cjson.decode(answers), tonumber(most), tonumber(within)
  if #answers > 0 and call('EXISTS', of(thread, 'rec')) == 0 then
    return {'not pending'}
  end
  make(thread, owner, id)
  local before = known(thread, once, within, reply)
  if before then
    return {'accepted', before.place, before.reply, 1}
  end
  local commands, waiting = inbox(thread), false
  for _, each in ipairs(commands) do
    waiting = waiting or (each.attempts == 0 and each.cancelled ~= STOP)
  end
  if #commands >= most then
    return {'full'}
  end
  local pending = {}
  for _, each in ipairs(cjson.decode(get(thread, 'pending'))) do
    pending[each] = true
  end
  for _, each in ipairs(answers) do
    if waiting or not pending[each] then
      return {'not pending'}
    end
  end
  local place = unused(count(thread, 'placed'))
  call('HSET', of(thread, 'rec'), 'placed', text(place))
  keep(thread, place, {run = run, body = body, attempts = 0, cancelled = 0, at = now()})
  remember(thread, once, place, reply)
  touch(thread, owner)
  announce(thread, false)  -- whoever has sent it claims the thread
  return {'accepted', place, reply, 0}
end

function operations.recall(thread, once, within)
  local before = known(thread, once, tonumber(within))
  return before and before.reply or false
end

-- How: at once, or, a greater number, at the end of its step. Servers of an earlier version stop it at once, whatever
-- the number, and say no more than the place.
function operations.cancel(thread, place, how)
  local command, how = one(thread, tonumber(place)), tonumber(how or STOP)
  if command and command.cancelled ~= STOP and command.cancelled ~= how then
    command.cancelled = how
    keep(thread, tonumber(place), command)
    touch(thread, get(thread, 'owner'))
    announce(thread, true)
  end
  return 1
end

function operations.claim(thread, owner, id, holder, nonce)
  make(thread, owner, id)
  local before, last_nonce = get(thread, 'holder'), get(thread, 'nonce')
  if last_nonce ~= nonce then
    if before ~= holder and alive(before) then
      return false
    end
    if before ~= holder and before ~= '' then
      give_up(thread)
      if call('ZSCORE', name('servers'), before) then
        tell(before, 'l', thread)
      end
    end
    local epoch = unused(count(thread, 'epoch'))
    call('HSET', of(thread, 'rec'), 'epoch', text(epoch), 'holder', holder, 'nonce', nonce)
  elseif before ~= holder then
    return false  -- it has been given up since
  end
  call('SADD', name('held', holder), thread)
  call('ZADD', name('servers'), 'NX', 0, holder)  -- one that has no lease is found, should it be gone
  call('ZREM', name('ready'), thread)
  local used = tonumber(call('HGET', name('meta'), 'used') or 0)
  local clock = math.floor((now() - EPOCH_2024) / 1000) * 1024
  local found = standing(thread)
  return {found[1], found[2], math.max(math.max(count(thread, 'last'), used) + 1, clock)}
end

function operations.release(thread, epoch)
  if get(thread, 'epoch') == epoch then
    give_up(thread)
    offer(thread, now(), true)
  end
  return 1
end

-- `done` is a list of places; each event its place, its head and its body.
function operations.append(
  thread, epoch, after, most_events, most_bytes, done, place, attempts, pending, fold, label, ...
)
  local events = {...}
  local rec, log = of(thread, 'rec'), of(thread, 'log')
  local head = call('HMGET', rec, 'epoch', 'last', 'floor', 'count', 'size', 'owner')
  if head[1] ~= epoch then
    return {'fenced'}
  end
  local last, floor, held, size = head[2], tonumber(head[3]), tonumber(head[4]), tonumber(head[5])
  if after ~= last then
    if #events > 0 and events[#events - 2] == last then
      return {'appended', floor}
    end
    return {'out of step', tonumber(last)}
  end
  for i = 1, #events, 3 do
    call('XADD', log, events[i] .. '-0', 'h', events[i + 1], 'b', events[i + 2], 'p', last)
    last, held, size = events[i], held + 1, size + #events[i + 2]
  end
  if #events > 0 then
    held, size, floor = trim(thread, held, size, floor, tonumber(most_events), tonumber(most_bytes))
    call('HSET', rec, 'last', last, 'floor', text(floor), 'count', held, 'size', text(size))
  end
  for _, each in ipairs(cjson.decode(done)) do
    call('HDEL', of(thread, 'in'), text(each))
  end
  local command = place ~= '' and one(thread, tonumber(place))
  if command then
    command.attempts = tonumber(attempts)
    keep(thread, tonumber(place), command)
  end
  if pending ~= '' then
    call('HSET', rec, 'pending', pending)
  end
  if fold ~= '' then
    call('HSET', rec, 'fold', fold, 'folded', last)
  end
  if label ~= '' then
    call('HSET', rec, 'label', label)
  end
  touch(thread, head[6])
  return {'appended', floor}
end

function operations.read(thread, after, most, most_bytes)
  return {get(thread, 'gen'), (following(of(thread, 'log'), after .. '-0', tonumber(most), tonumber(most_bytes)))}
end

-- What follows in some streams, each given by its whole name and the id after which to read. They are read in order as
-- long as there is room for all of them together, each up to its share. How many were read; and of those in which
-- something follows which one it is, whether there may be more, and the entries.
function operations.tail(most, share, room, ...)
  local asked, found, reached = {...}, {}, 0
  most, share, room = tonumber(most), tonumber(share), tonumber(room)
  while room > 0 and 2 * reached < #asked do
    local entries, size, more = following(asked[2 * reached + 1], asked[2 * reached + 2], most, math.min(share, room))
    reached, room = reached + 1, room - size
    if #entries > 0 then
      found[#found + 1] = {reached, more and 1 or 0, entries}
    end
  end
  return {reached, found}
end

function operations.watched(thread, place)
  if call('EXISTS', of(thread, 'rec')) == 1 and tonumber(place) > count(thread, 'watched') then
    call('HSET', of(thread, 'rec'), 'watched', place)
  end
  return 1
end

function operations.erase(thread)
  if erase(thread) then
    tell_all({thread})
  end
  return 1
end

-- Forgets at most so many threads; how many, and how many it has looked at and left.
function operations.expire(idle, waiting, skip)
  local erased, kept = {}, 0
  local old = '(' .. text(now() - tonumber(idle))
  local oldest = now() - tonumber(waiting)
  for _, thread in ipairs(call('ZRANGEBYSCORE', name('idle'), '-inf', old, 'LIMIT', skip, 100)) do
    local touched = tonumber(call('ZSCORE', name('idle'), thread))
    local asks = get(thread, 'pending')
    if call('HLEN', of(thread, 'in')) > 0 or (asks and asks ~= '[]' and touched >= oldest) then
      kept = kept + 1
    else
      erase(thread)
      call('ZREM', name('idle'), thread)
      erased[#erased + 1] = thread
    end
  end
  tell_all(erased)
  return {#erased, kept}
end

-- --- servers ---

function operations.join(server, lease)
  call('ZADD', name('servers'), now() + tonumber(lease), server)
  local newest = call('XREVRANGE', name('wake'), '+', '-', 'COUNT', 1)
  return newest[1] and newest[1][1] or '0-0'
end

function operations.renew(server, lease)
  if not call('ZSCORE', name('servers'), server) then
    return 0
  end
  call('ZADD', name('servers'), 'XX', now() + tonumber(lease), server)
  return 1
end

function operations.leave(server)
  for _, thread in ipairs(call('SMEMBERS', name('held', server))) do
    if get(thread, 'holder') == server then
      give_up(thread)
      offer(thread, now(), true)
    end
  end
  call('ZREM', name('servers'), server)
  call('DEL', name('held', server), name('news', server))
  return 1
end

-- Threads with commands that nobody has: those of servers whose lease has run out first.
function operations.unfinished(most)
  local found, rest = {}, tonumber(most)
  for _, server in ipairs(call('ZRANGEBYSCORE', name('servers'), '-inf', now())) do
    local left = 0
    for _, thread in ipairs(call('SMEMBERS', name('held', server))) do
      if get(thread, 'holder') ~= server then
        call('SREM', name('held', server), thread)
      elseif call('HLEN', of(thread, 'in')) == 0 then
        give_up(thread)
      else
        left = left + 1
        if rest > 0 then
          local head = inbox(thread)[1]
          found[#found + 1] = {thread, head.attempts > 0 and 0 or 1, head.at}
          rest = rest - 1
        end
      end
    end
    if left == 0 then
      call('ZREM', name('servers'), server)
      call('DEL', name('held', server), name('news', server))
    end
  end
  table.sort(found, function(a, b)
    if a[2] ~= b[2] then
      return a[2] < b[2]
    end
    return a[3] < b[3]
  end)
  local threads = {}
  for _, each in ipairs(found) do
    threads[#threads + 1] = each[1]
  end
  if rest > 0 then
    for _, thread in ipairs(call('ZRANGE', name('ready'), 0, rest - 1)) do
      threads[#threads + 1] = thread
    end
  end
  return threads
end

function operations.load()
  local oldest = call('ZRANGE', name('ready'), 0, 0, 'WITHSCORES')
  local since = oldest[2] and math.max(0, now() - tonumber(oldest[2])) or 0
  return {call('ZCARD', name('ready')), since, call('ZCOUNT', name('servers'), '(' .. text(now()), '+inf')}
end

-- --- the store itself ---

function operations.schema(version)
  call('HSETNX', name('meta'), 'schema', version)
  return call('HGET', name('meta'), 'schema')
end

-- Something that is encoded as all content is, by which a server knows whether it can decode that.
function operations.canary()
  return call('HGET', name('meta'), 'canary')
end

-- From now on content is encoded. If another server has said so since `before` was read, what that has left is returned.
function operations.encode(version, canary, before)
  local found = call('HGET', name('meta'), 'canary') or ''
  if found ~= before then
    return found
  end
  call('HSET', name('meta'), 'schema', version, 'canary', canary)
  return canary
end

return operations[operation](unpack(args))
