-- wrk -s post.lua URL -- BODY_FILE [Header=value ...]
-- Posts the same body again and again, and ends with one line of JSON behind the word RESULT.
function init(args)
  local file = assert(io.open(args[1], "rb"))
  local body = file:read("*a")
  file:close()
  local headers = { ["Content-Type"] = "application/json" }
  for i = 2, #args do
    local name, value = args[i]:match("^([^=]+)=(.*)$")
    headers[name] = value
  end
  -- Made once: wrk has one core, and shares it with the upstream.
  made = wrk.format("POST", nil, headers, body)
end

function request()
  return made
end

function done(summary, latency, requests)
  local wrong = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"micros":%d,"p50_us":%d,"p99_us":%d,' ..
    '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    wrong.connect, wrong.read, wrong.write, wrong.status, wrong.timeout))
end
