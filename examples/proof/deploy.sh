#!/bin/sh
# A rolling deploy that changes a schedule while both versions run: two processes run a task every
# other second, at even ones; one by one they are replaced by processes whose file says odd ones.
# Prints what fired, from the records: which definition each tick was claimed under, and by whom.
#
#   examples/proof/deploy.sh        TENURE=path/to/tenure if it is not in PATH
#
# The newest definition that a living process lists is the current one; claims under another are
# refused. So no tick of the old schedule fires after the first of the new one, no tick runs twice,
# and the old processes need not be stopped first.
set -eu
tenure=${TENURE:-tenure}
folder=$(mktemp -d)
a='' b='' c='' d=''
finish() {
    for one in $a $b $c $d; do kill -9 "$one" 2>/dev/null || true; done
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 1' INT TERM
cd "$folder"
version() {
    cat > "$1.toml" <<TASKS
store = "sqlite:runs.db"
[[task]]
name = "tick"
schedule = "$2"
command = ["true"]
TASKS
}
version old '*/2 * * * * *'
version new '1-59/2 * * * * *'

"$tenure" run old.toml --json > a.jsonl & a=$!
"$tenure" run old.toml --json > b.jsonl & b=$!
sleep 12
"$tenure" run new.toml --json > c.jsonl & c=$!
# Both versions run.
sleep 12
kill -TERM $a; wait $a || true; a=''
"$tenure" run new.toml --json > d.jsonl & d=$!
sleep 8
kill -TERM $b; wait $b || true; b=''
sleep 8
kill -TERM $c $d; wait $c $d || true; c='' d=''

"$tenure" history tick --store sqlite:runs.db --json -n 1000 > history.jsonl
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
# The newest tick comes first.
field tick < history.jsonl | cut -c 12-19 > ticks.txt
field state < history.jsonl > states.txt
field generation < history.jsonl > generations.txt
paste -d ' ' ticks.txt generations.txt states.txt | sort > fired.txt
echo "time of the tick, definition, state:"
cat fired.txt
twice=$(cut -d ' ' -f 1 fired.txt | uniq -d | wc -l)
changes=$(cut -d ' ' -f 2 fired.txt | uniq | wc -l)
refused=$(cat a.jsonl b.jsonl | grep -c '"event":"stale"' || true)
echo "ticks that fired twice: $twice"
echo "the definition changed $((changes - 1)) time, and $refused old processes were told so"
if [ "$twice" -eq 0 ] && [ "$changes" -eq 2 ]; then
    echo "all of it holds"
else
    echo "FAILED"
    exit 1
fi
