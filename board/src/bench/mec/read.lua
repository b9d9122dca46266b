-- One GET again and again; then percentiles of its time in microseconds, and counts.
function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("turn %d %d %d %d\n", latency:percentile(50), latency:percentile(99), summary.requests, failed))
end
