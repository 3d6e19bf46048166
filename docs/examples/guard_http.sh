#!/usr/bin/env bash
# Every dialect of a running Sigmaguard by hand. Run: sigmaguard serve; bash docs/examples/guard_http.sh [URL]
set -euo pipefail
url=${1:-http://127.0.0.1:8003}
post() { curl -sS "$url$1" -H 'content-type: application/json' -d "$2"; echo; }
post /v1/guard '{"segments": [{"text": "Write to anna.schmidt@example.org"}]}'
post /v2/guard '{"messages": [{"role": "user", "content": "Write to anna.schmidt@example.org"}], "payload": true, "breakdown": true}'
post /beta/litellm_basic_guardrail_api '{"input_type": "request", "texts": ["Write to anna.schmidt@example.org"], "request_data": {}}'
curl -sS -o /dev/null -w '%{http_code}\n' "$url/envoy/v1/chat/completions" -H 'content-type: application/json' \
  -d '{"model": "m", "messages": [{"role": "user", "content": "What is the capital of Portugal?"}]}'
