#!/bin/sh
# What `tenure run` costs while nothing is due, its dashboard served as by default: tasks that come
# once a year, on one Redis, in one process and then in several beside each other. Prints for each:
#
# - processor time, as seconds in an hour, of the processes and of the server;
# - resident memory of a process, its guardian included;
# - what the server was asked for in a minute, command by command. A script counts as one request;
#   what it calls inside stands apart.
#
#   examples/proof/idle.sh [SECONDS] [NODES] [TASKS]
#
#   TENURE=path/to/tenure and REDIS_SERVER=path/to/redis-server say where these are.
set -eu
seconds=${1:-120}
nodes=${2:-3}
tasks=${3:-100}
tenure=${TENURE:-tenure}
redis=${REDIS_SERVER:-redis-server}
cli="${redis%redis-server}redis-cli"
folder=$(mktemp -d)
store="redis+unix:$folder/redis.sock"
pids='' server=''
finish() {
    for one in $pids $server; do kill -9 "$one" 2>/dev/null || true; done
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 1' INT TERM

"$redis" --port 0 --unixsocket "$folder/redis.sock" --dir "$folder" --save '' > "$folder/redis.log" &
server=$!
ask() { "$cli" -s "$folder/redis.sock" "$@"; }
until ask ping > /dev/null 2>&1; do sleep 0.05; done

echo "store = \"$store\"" > "$folder/tasks.toml"
number=1
while [ "$number" -le "$tasks" ]; do
    printf '[[task]]\nname = "task-%s"\nschedule = "@yearly"\ncommand = ["true"]\n' "$number"
    number=$((number + 1))
done >> "$folder/tasks.toml"

# Ticks of the kernel's clock that a process and its dead children have used.
used() {
    for one in $1; do
        # The name may hold blanks; what is counted stands after it.
        sed 's/.*) //' "/proc/$one/stat" | cut -d ' ' -f 12,13
    done | awk '{ sum += $1 + $2 } END { print sum + 0 }'
}
kilobytes() {
    for one in $1; do grep '^VmRSS:' "/proc/$one/status"; done | awk '{ sum += $2 } END { print sum }'
}
guardian_of() { cat "/proc/$1/task/$1/children" 2>/dev/null || true; }
per_second=$(getconf CLK_TCK)

measure() {
    count=$1
    all=''
    for one in $pids; do all="$all $one $(guardian_of "$one")"; done
    # What happens once, at the start, is no idle cost.
    sleep 10
    ask config resetstat > /dev/null
    before=$(used "$all") server_before=$(used "$server")
    sleep "$seconds"
    ask info commandstats | tr -d '\r' > "$folder/stats"
    after=$(used "$all") server_after=$(used "$server")
    memory=$(kilobytes "$all")
    echo "$count processes, $tasks tasks, $seconds s:"
    awk -v ticks=$((after - before)) -v served=$((server_after - server_before)) -v n="$count" \
        -v hz="$per_second" -v span="$seconds" -v memory="$memory" 'BEGIN {
        hour = 3600 / span / hz
        printf "  CPU of a process %.1f s an hour (%.3f %% of a core); of the server %.1f s an hour\n",
            ticks * hour / n, ticks * hour / n / 36, served * hour
        printf "  resident memory of a process %.1f MB, its guardian included\n", memory / n / 1000
    }'
    awk -F '[:=,]' -v span="$seconds" -v n="$count" '/^cmdstat_/ {
        name = substr($1, 9)
        if (name == "info" || name ~ /^config/) next
        calls = $3 * 60 / span
        if (name ~ /^(evalsha|eval|fcall|ping|subscribe|hello|client|script)/) asked += calls
        printf "  %8.1f a minute  %s\n", calls, name
    } END { printf "  %8.1f requests a minute in all, %.1f of each process\n", asked, asked / n }' \
        "$folder/stats"
}

start() {
    "$tenure" run --json "$folder/tasks.toml" > "$folder/run.$1.jsonl" 2>> "$folder/errors" &
    pids="$pids $!"
    until grep -q '"ready"' "$folder/run.$1.jsonl"; do sleep 0.05; done
}
start 1
measure 1
if [ "$nodes" -gt 1 ]; then
    number=2
    while [ "$number" -le "$nodes" ]; do start "$number"; number=$((number + 1)); done
    measure "$nodes"
fi
for one in $pids; do kill "$one"; done
for one in $pids; do wait "$one"; done
pids=''
[ ! -s "$folder/errors" ] || { echo "said meanwhile:"; cat "$folder/errors"; }
