-- A POST, and a DELETE of whatever has been made: one after the other on each connection as answers come.
local made = {}
local post, headers

function init(args)
  local file = assert(io.open(args[1]))
  headers = { ["Authorization"] = wrk.headers["Authorization"], ["Content-Type"] = "application/json" }
  post = wrk.format("POST", nil, headers, file:read("*a"))
  file:close()
end

function request()
  local path = table.remove(made)
  if path then
    return wrk.format("DELETE", path, { ["Authorization"] = wrk.headers["Authorization"] })
  end
  return post
end

function response(status, answer)
  local location = answer["Location"] or answer["location"]
  if status == 201 and location then
    made[#made + 1] = string.gsub(location, "^https?://[^/]+", "")
  end
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("turn %d %d %d %d\n", latency:percentile(50), latency:percentile(99), summary.requests, failed))
end
