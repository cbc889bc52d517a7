#!/usr/bin/env bash
# The demo with every part in a process of its own, on this machine: artifacts in a bucket (SeaweedFS),
# shards on a queue (Redis) for two workers, the clients over mutual TLS in two processes.
# Usage: examples/on-services.sh [FILE]     needs redis-server: make services
set -euo pipefail
cd "$(dirname "$0")/.."
file=${1:-examples/digits.yaml}
export PATH=$PWD/.venv/bin:$PATH OMP_NUM_THREADS=1
command -v redis-server >/dev/null || { echo 'redis-server is not installed; run make services' >&2; exit 1; }
command -v weed >/dev/null || { echo 'weed is not installed; run make demo once' >&2; exit 1; }

place=$(mktemp -d)
end() { trap - EXIT; kill $(jobs -p) 2>/dev/null || true; wait || true; rm -rf "$place"; }
trap end EXIT
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
s3=$(port) redis=$(port) aggregator=127.0.0.1:$(port)
export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=on-this-machine AWS_ENDPOINT_URL=http://127.0.0.1:$s3
export GPTFL_STORE=s3://demo/runs GPTFL_BROKER=redis://127.0.0.1:$redis GPTFL_CACHE=$place/copies

weed mini -dir="$place" -bucket=demo -ip=127.0.0.1 -ip.bind=127.0.0.1 -s3.port="$s3" -s3.port.iceberg=0 \
  -webdav=false -admin.ui=false -master.telemetry=false > "$place/s3.log" 2>&1 &
redis-server --port "$redis" --bind 127.0.0.1 --save '' --dir "$place" > "$place/redis.log" &
pki=$place/pki
gptfl pki init "$pki" --server-name 127.0.0.1
gptfl pki issue "$pki" client-{0..9} > "$place/pki.log"
until gptfl artifacts list > /dev/null 2>&1; do sleep 0.5; done

for number in 1 2; do gptfl worker "$file" --concurrency 1 2> "$place/worker-$number.log" & done
clients() { gptfl client simulate "$file" --server "$aggregator" --pki "$pki" "${@/#/--client=client-}"; }
clients 0 1 2 3 4 2> "$place/clients-1.log" &
clients 5 6 7 8 9 2> "$place/clients-2.log" &
gptfl aggregate "$file" --listen "$aggregator" --pki "$pki"

echo; echo 'who drew what:'; grep -h 'images in' "$place"/worker-*.log | tail -2
echo 'what left the machine of the first clients:'; grep 'has left this machine' "$place/clients-1.log" | tail -3
