#!/bin/sh
# Three processes of `tenure run` on one Redis, a task every second with three indices, while
# processes are killed (kill -9) and stopped (SIGSTOP), one clock is 5 s ahead, and the server is
# killed and started again. Prints what the records say:
#
# - no (tick, index) ran twice (on_crash = "lose");
# - every tick has a record for each index: run, lost, skipped or missed;
# - every run that began and whose process died is reported as lost, in the records.
#
#   examples/proof/redis.sh [SECONDS] [SEED]
#
#   TENURE=path/to/tenure, REDIS_SERVER=path/to/redis-server and FAKETIME_LIB=path/to/
#   libfaketime.so.1 say where these are; without the last no clock is wrong, and it says so.
set -eu
seconds=${1:-600}
seed=${2:-$$}
tenure=${TENURE:-tenure}
redis=${REDIS_SERVER:-redis-server}
faketime=${FAKETIME_LIB:-$(ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null | head -n 1)}
folder=$(mktemp -d)
store="redis+unix:$folder/redis.sock"
a='' b='' c='' server=''
finish() {
    # Stopped ones cannot end.
    for one in $a $b $c; do kill -CONT "$one" 2>/dev/null || true; kill -9 "$one" 2>/dev/null || true; done
    [ -z "$server" ] || kill -9 "$server" 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 1' INT TERM
cat > "$folder/tasks.toml" <<TASKS
store = "$store"
[[task]]
name = "tick"
schedule = "* * * * * *"
concurrency = 3
overlap = "allow"
on_crash = "lose"
catch_up = "all"
catch_up_max = 200
shell = 'echo "\$TENURE_TICK#\$TENURE_INDEX" >> ran.txt; sleep 0.7'
TASKS
cd "$folder"
touch ran.txt

serve() {
    "$redis" --port 0 --unixsocket "$folder/redis.sock" --dir "$folder" --save '' \
        --appendonly yes --appendfsync always --maxmemory-policy noeviction \
        --logfile redis.log > /dev/null &
    server=$!
}
starts=0
start() {
    starts=$((starts + 1))
    log="$1.$starts.jsonl"
    if [ "$1" = c ] && [ -n "$faketime" ]; then
        LD_PRELOAD="$faketime" FAKETIME=+5s FAKETIME_DONT_FAKE_MONOTONIC=1 \
            "$tenure" run tasks.toml --json > "$log" 2>> errors.txt &
    else
        "$tenure" run tasks.toml --json > "$log" 2>> errors.txt &
    fi
    eval "$1=$!"
}
# A number below $1, by the seed, so that a run can be repeated as far as the machine allows.
draw() {
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    drawn=$((seed / 65536 % $1))
}

serve
until [ -S "$folder/redis.sock" ]; do sleep 0.1; done
start a
start b
start c
[ -n "$faketime" ] && echo "one of three clocks is 5 s ahead" || echo "no libfaketime: all clocks are right"
kills=0 stops=0 restarts=0
began=$(date +%s)
end=$((began + seconds))
half=$((began + seconds / 2))
while [ "$(date +%s)" -lt "$end" ]; do
    draw 8; sleep $((6 + drawn))
    draw 3
    case $drawn in 0) who=a ;; 1) who=b ;; *) who=c ;; esac
    eval "pid=\$$who"
    if [ "$restarts" -eq 0 ] && [ "$(date +%s)" -ge "$half" ]; then
        kill -9 $server
        wait $server 2>/dev/null || true
        sleep 3
        serve
        restarts=1
        continue
    fi
    draw 2
    if [ "$drawn" -eq 0 ]; then
        kill -9 "$pid"
        wait "$pid" 2>/dev/null || true
        kills=$((kills + 1))
        sleep 2
        start $who
    else
        # Now and then longer than its lease of 15 s.
        draw 3
        kill -STOP "$pid"
        sleep $((3 + drawn * 8))
        kill -CONT "$pid"
        stops=$((stops + 1))
    fi
done
# A lost process is noticed when its lease of 15 s is over.
sleep 25
kill -TERM $a $b $c
wait $a $b $c 2>/dev/null || true
a='' b='' c=''

"$tenure" history --store "$store" --json -n 100000 > history.jsonl
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }
echo "$seconds s: $kills kills, $stops stops, $restarts restart of the server"
echo "runs that began: $(wc -l < ran.txt)"
twice=$(sort ran.txt | uniq -d | wc -l)
echo "ran twice: $twice"
echo "in the store, by state:"
field state < history.jsonl | sort | uniq -c
# The task cannot fail by itself, so whoever reads this wants to know why.
grep '"state":"failed"' history.jsonl | head -n 3 || true

sed -n 's/.*"index":\([0-9]*\).*/\1/p' history.jsonl > indices.txt
field tick < history.jsonl > ticks.txt
paste -d '#' ticks.txt indices.txt | sort -u > recorded.txt
first=$(date -d "$(sort ticks.txt | head -n 1)" +%s)
last=$(date -d "$(sort ticks.txt | tail -n 1)" +%s)
expected=$(((last - first + 1) * 3))
echo "ticks x indices from the first to the last: $expected, with a record: $(wc -l < recorded.txt)"
sed 's/\.[0-9]*Z#/Z#/' recorded.txt | sort -u > known.txt
sed 's/\.[0-9]*Z#/Z#/' ran.txt | sort -u > began.txt
unknown=$(comm -23 began.txt known.txt | wc -l)
echo "began without a record: $unknown"
# What is neither finished nor given up would be a run that nobody reports.
open=$(grep -c '"state":"\(claimed\|running\)"' history.jsonl || true)
echo "neither ended nor reported as lost: $open"
lost=$(grep -c '"state":"lost"' history.jsonl || true)
# A node says so of another's run, or of its own when it was stopped longer than its lease. One that
# was killed before it could say it leaves the record alone to tell, which is why this is no bar.
told=$(cat ./*.jsonl | grep -e '"event":"lost"' -e '"outcome":"lost"' | field run_id | sort -u | wc -l)
echo "lost: $lost reported by the records, $told of them told as events by processes that lived on"
if [ "$twice" -eq 0 ] && [ "$unknown" -eq 0 ] && [ "$open" -eq 0 ] &&
    [ "$(wc -l < recorded.txt)" -eq "$expected" ]; then
    echo "all of it holds"
else
    echo "FAILED"
    exit 1
fi
