-- What the keys of one lineage have spent of their rate limits, by the server's clock.
--
-- KEYS[1]  the lineage
-- ARGV     'take' limit window_ms burst tokens, or
--          'give' limit window_ms burst tokens taken_at_ms within_ms
-- returns  tokens, state_ms, state_parts, clock_ms
--
-- A state is the instant at which the next request would be on time (GCRA). It is written as
-- milliseconds and parts of a millisecond, of which each limit has as many as make the time
-- between two requests a whole number of them. All numbers are whole and below 2^53, so Lua's
-- numbers, which are doubles, are exact.
--
-- The value is a list of up to four limits and their states, the newest last:
-- limit:window_ms:burst:ms:parts,... It is written together with its lifetime, by one command.
-- A value of another form is an error: it lets nothing pass.

local LIMITS_MAX = 4
local U32_MAX = 4294967295
local MILLIS_END = 17592186044416 -- 2^44
local PARTS_END = 1048576 -- 2^20
local WINDOW_MAX = 31622400000 -- 366 days
local REACH_MAX = 315619200000 -- 3653 days
-- Those who read a clock one after the other may come in another order.
local SLACK = 60000

local function whole(text, most)
  if type(text) ~= 'string' or #text > 15 or not string.find(text, '^%d+$') then
    return nil
  end
  local number = tonumber(text)
  return number <= most and number or nil
end

-- Not by % and math.floor: a double's quotient may be rounded up to a whole number.
local function quotient(number, divisor)
  local rest = math.fmod(number, divisor)
  return (number - rest) / divisor, rest
end

-- The time that so many evenly spaced requests take.
local function span(limit, count)
  local carry, parts = quotient(limit.parts * count, limit.per_milli)
  return limit.millis * count + carry, parts
end

-- The limit, or nil if there is none like this.
local function limit_of(limit, window, burst)
  limit, window, burst = whole(limit, U32_MAX), whole(window, WINDOW_MAX), whole(burst, U32_MAX)
  if not limit or not window or not burst or window == 0 then
    return nil
  end
  if limit == 0 then
    return { none = true }
  end
  local divisor, rest = limit, window
  while rest ~= 0 do
    divisor, rest = rest, math.fmod(divisor, rest)
  end
  local found = { per_milli = limit / divisor, burst = burst }
  found.millis, found.parts = quotient(window / divisor, found.per_milli)
  if burst == 0 or found.per_milli >= PARTS_END or found.millis * burst > REACH_MAX then
    return nil
  end
  found.reach_millis, found.reach_parts = span(found, burst)
  return found
end

local function is_later(millis, parts, than_millis, than_parts)
  return millis > than_millis or (millis == than_millis and parts > than_parts)
end

local function plus(limit, millis, parts, more_millis, more_parts)
  millis, parts = millis + more_millis, parts + more_parts
  if parts >= limit.per_milli then
    millis, parts = millis + 1, parts - limit.per_milli
  end
  return millis, parts
end

-- A state that another limit left may have more parts than this one uses.
local function parts_of(limit, parts)
  return math.min(parts, limit.per_milli - 1)
end

-- The furthest instant at which a state may be at `now`, or nil if nothing may pass.
local function full_at(limit, now)
  if limit.none or now + limit.reach_millis >= MILLIS_END then
    return nil
  end
  return now + limit.reach_millis, limit.reach_parts
end

-- The state, or one in which a full burst is spent if it is later than that in `slack`.
local function clamped(limit, state, now, slack)
  local millis, parts = full_at(limit, now + slack)
  if millis and is_later(state.millis, parts_of(limit, state.parts), millis, parts) then
    millis, parts = full_at(limit, now)
    return { millis = millis, parts = parts }
  end
  return state
end

-- Takes up to `count`; returns how many, and the new state.
local function take(limit, state, now, count)
  local full_millis, full_parts = full_at(limit, now)
  if not full_millis then
    return 0, state
  end
  local millis, parts = state.millis, parts_of(limit, state.parts)
  if is_later(now, 0, millis, parts) then
    millis, parts = now, 0
  end
  local function after(tokens)
    return plus(limit, millis, parts, span(limit, tokens))
  end
  local function fits(tokens)
    local to_millis, to_parts = after(tokens)
    return not is_later(to_millis, to_parts, full_millis, full_parts)
  end
  -- `least` fits and `least` + 1 up to `most` may.
  local least, most = 0, math.min(count, limit.burst)
  if fits(most) then
    least = most
  end
  while least < most do
    local middle = least + math.ceil((most - least) / 2)
    if fits(middle) then
      least = middle
    else
      most = middle - 1
    end
  end
  if least == 0 then
    return 0, state
  end
  millis, parts = after(least)
  return least, { millis = millis, parts = parts }
end

local function give_back(limit, state, count)
  local millis, parts = span(limit, count)
  local from_millis, from_parts = state.millis, parts_of(limit, state.parts)
  if not is_later(from_millis, from_parts, millis, parts) then
    return { millis = 0, parts = 0 }
  end
  millis, parts = from_millis - millis, from_parts - parts
  if parts < 0 then
    millis, parts = millis - 1, parts + limit.per_milli
  end
  return { millis = millis, parts = parts }
end

-- The limits and their states, or nil if the value is damaged.
local function read(value)
  local rates = {}
  if not value then
    return rates
  end
  local rest = value .. ','
  while rest ~= '' do
    local name, limit, window, burst, millis, parts, behind =
      string.match(rest, '^((%d+):(%d+):(%d+)):(%d+):(%d+),(.*)$')
    limit = limit_of(limit, window, burst)
    millis, parts = whole(millis, MILLIS_END - 1), whole(parts, PARTS_END - 1)
    if not limit or limit.none or not millis or not parts or #rates >= LIMITS_MAX then
      return nil
    end
    rates[#rates + 1] = { name = name, limit = limit, state = { millis = millis, parts = parts } }
    rest = behind
  end
  return rates
end

-- Writes the states if they have changed, for as long as they are not as new, and a minute.
local function write(rates, value, now)
  local texts, latest = {}, 0
  for at, rate in ipairs(rates) do
    local state = rate.state
    texts[at] = string.format('%s:%.0f:%.0f', rate.name, state.millis, state.parts)
    latest = math.max(latest, state.millis + 1)
  end
  local text = table.concat(texts, ',')
  if text ~= value then
    local lifetime = math.max(latest - now, 0) + SLACK
    redis.call('SET', KEYS[1], text, 'PX', string.format('%.0f', lifetime))
  end
end

local verb, name = ARGV[1], table.concat({ ARGV[2], ARGV[3], ARGV[4] }, ':')
local limit, tokens = limit_of(ARGV[2], ARGV[3], ARGV[4]), whole(ARGV[5], U32_MAX)
if not limit or not tokens then
  return redis.error_reply('KEYSTILE no such limit or number of tokens')
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + quotient(tonumber(time[2]), 1000)
local value = redis.call('GET', KEYS[1])
local rates = read(value)
if not rates then
  return redis.error_reply('KEYSTILE the state of the lineage is damaged')
end

local own
local latest = { millis = 0, parts = 0 }
for _, rate in ipairs(rates) do
  if rate.name == name then
    own = rate
  end
  if is_later(rate.state.millis, rate.state.parts, latest.millis, latest.parts) then
    latest = rate.state
  end
end

if verb == 'give' then
  local taken_at, within = whole(ARGV[6], MILLIS_END), whole(ARGV[7], MILLIS_END)
  if not taken_at or not within then
    return redis.error_reply('KEYSTILE no such time of a rest')
  end
  if own and taken_at <= now and now - taken_at <= within then
    own.state = give_back(limit, own.state, tokens)
    write(rates, value, now)
  end
  return { 0, 0, 0, now }
elseif verb ~= 'take' then
  return redis.error_reply('KEYSTILE no such verb')
end

-- A limit that is new goes on from the latest state, of which one burst counts at most.
local state
if own then
  state = clamped(limit, own.state, now, SLACK)
else
  state = clamped(limit, latest, now, 0)
end
if tokens == 0 or limit.none then
  return { 0, state.millis, state.parts, now }
end
local taken
taken, state = take(limit, state, now, tokens)
if taken > 0 then
  -- What is taken by one limit counts by all, as far as a burst of theirs goes.
  for _, rate in ipairs(rates) do
    local _, charged = take(rate.limit, clamped(rate.limit, rate.state, now, SLACK), now, taken)
    rate.state = charged
  end
end
-- Also if it was refused: what was brought back must be kept. Otherwise it would be brought back
-- to a later instant each time, and nothing would ever become free.
if own then
  own.state = state
elseif taken > 0 or #rates > 0 then
  if #rates >= LIMITS_MAX then
    table.remove(rates, 1)
  end
  rates[#rates + 1] = { name = name, limit = limit, state = state }
end
if #rates > 0 then
  write(rates, value, now)
end
return { taken, state.millis, state.parts, now }
