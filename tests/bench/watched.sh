# Watches a host while it is measured, as a monitoring system does: curl scrapes `/metrics` every two seconds, and the host
# sends metrics and traces to a collector that answers at once. Sourced by tests/bench/run and tests/bench/paid, which set
# `work` and `pids`. Collector and curl have core 1.

begin_collector() { # sets `collector`
  taskset -c 1 node tests/bench/collector.mjs >"$work/collector.log" 2>&1 & pids+=($!)
  for _ in $(seq 300); do
    collector=$(grep -o 'http://127\.0\.0\.1:[0-9]*' "$work/collector.log") && return
    sleep 0.1
  done
  cat "$work/collector.log" >&2
  return 1
}

watched_tables() { # the lines of coinslot.toml that turn everything on, with the defaults of everything else
  cat <<TOML
[admin]
listen = "127.0.0.1:0"
[telemetry]
otlp_endpoint = "$collector"
TOML
}

admin_of() { # LOG: the listener that is scraped
  sed -n 's#^admin on ##p' "$1"
}

while_scraped() { # ADMIN COMMAND...: no scrape takes time from another measurement
  local admin=$1 scraper ended=0
  shift
  (while curl -s -o /dev/null -w '%{http_code}\n' "$admin/metrics" >>"$work/scrapes"; do sleep 2; done) >/dev/null &
  scraper=$!
  "$@" || ended=$?
  kill "$scraper" 2>/dev/null || true
  wait "$scraper" 2>/dev/null || true
  return "$ended"
}

check_watched() { # fails if the host was measured without being watched
  local taken
  taken=$(curl -s "$collector/taken")
  if grep -qv '^200$' "$work/scrapes" || ! grep -q '"/v1/traces":' <<<"$taken"; then
    echo "the host was not watched: the collector took $taken, and scrapes ended with $(sort "$work/scrapes" | uniq -c | xargs)" >&2
    return 1
  fi
  echo "watched by $(wc -l <"$work/scrapes") scrapes, and exports by path: $taken"
}
