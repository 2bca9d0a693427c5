#!/bin/sh
# Three processes of `tenure run` on one SQLite file, a task every second with three indices.
# Prints how many ticks ran, how often one ran twice (never), and how the runs spread.
#
#   examples/proof/three.sh [SECONDS] [kill]       TENURE=path/to/tenure if it is not in PATH
#
# With `kill`, one of the processes is killed (kill -9) and replaced every ten seconds; then what
# it was running is reported as lost, and still nothing runs twice.
set -eu
seconds=${1:-60}
mode=${2:-}
tenure=${TENURE:-tenure}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/tasks.toml" <<'TASKS'
store = "sqlite:runs.db"
[[task]]
name = "tick"
schedule = "* * * * * *"
concurrency = 3
overlap = "allow"
shell = 'echo "$TENURE_TICK#$TENURE_INDEX" >> ran.txt; sleep 0.8'
TASKS
cd "$folder"
touch ran.txt

start() {
    "$tenure" run tasks.toml --json > "$1.jsonl" &
}
start a; a=$!
start b; b=$!
start c; c=$!
end=$(($(date +%s) + seconds))
turn=0
while [ "$(date +%s)" -lt "$end" ]; do
    sleep 10
    [ "$mode" = kill ] || continue
    turn=$((turn + 1))
    case $((turn % 3)) in
    0) kill -9 $a; start "a$turn"; a=$! ;;
    1) kill -9 $b; start "b$turn"; b=$! ;;
    2) kill -9 $c; start "c$turn"; c=$! ;;
    esac
done
# A lost process is noticed when its lease of 15 s is over.
[ "$mode" != kill ] || sleep 20
kill -TERM $a $b $c
wait $a $b $c || true

echo "ran: $(wc -l < ran.txt) (tick, index) pairs"
twice=$(sort ran.txt | uniq -d | wc -l)
echo "ran twice: $twice"
echo "in the store, by state:"
"$tenure" history --store sqlite:runs.db --json -n 100000 |
    sed 's/.*"state":"\([a-z_]*\)".*/\1/' | sort | uniq -c
echo "finished, by process:"
grep -c '"event":"finished"' ./*.jsonl
[ "$twice" -eq 0 ]
