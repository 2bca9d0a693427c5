#!/bin/sh
# Fuzzes the API of a running `tenure run` with schemathesis, which it installs into a folder of its
# own. Usage: xtask/fuzz-api.sh [EXAMPLES]. Ends with 77 if schemathesis cannot be had here.
#
# Left out: the event stream, which does not end, and the check that whatever fits the document is
# accepted: an instant that must lie in the future fits it and is refused.
set -eu
examples=${1:-20}
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
server=
tool=${CARGO_TARGET_DIR:-target}/fuzz-api
if ! [ -x "$tool/bin/schemathesis" ]; then
    { python3 -m venv "$tool" && "$tool/bin/pip" install -q schemathesis; } || {
        echo "missing: schemathesis cannot be installed here; the API was not fuzzed" >&2
        exit 77
    }
fi
cargo build -q -p tenure-cli
cat >"$folder/tasks.toml" <<'TASKS'
store = "memory:"
[[task]]
name = "tick"
schedule = "*/2 * * * * *"
command = ["/bin/echo", "one"]
TASKS
"${CARGO_TARGET_DIR:-target}/debug/tenure" run "$folder/tasks.toml" >"$folder/out" 2>&1 &
server=$!
base=
for _ in $(seq 200); do
    base=$(sed -n 's/^dashboard on \(.*\)\/$/\1/p' "$folder/out")
    [ -n "$base" ] && break
    sleep 0.1
done
[ -n "$base" ] || { cat "$folder/out" >&2; exit 1; }
"$tool/bin/schemathesis" run "$base/api/v1/openapi.json" --url "$base/api/v1" --no-color \
    --exclude-path /events --exclude-checks positive_data_acceptance \
    --max-examples "$examples" --request-timeout 30
