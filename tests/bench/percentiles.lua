-- wrk(1): print what the table needs, one value a line, latencies in microseconds.
done = function(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format("requests %d\nmicroseconds %d\nfailed %d\n", summary.requests, summary.duration, failed))
  for _, point in pairs({50, 99, 99.9}) do
    io.write(string.format("p%g %d\n", point, latency:percentile(point)))
  end
end
