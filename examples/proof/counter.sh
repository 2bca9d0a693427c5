#!/bin/sh
# Twenty processes add one to a number in a plain file, two hundred times each, under one lock.
# Without the lock additions get lost; with it the file says 4000 at the end.
#
#   examples/proof/counter.sh [PROCESSES] [ROUNDS]      TENURE=path/to/tenure if it is not in PATH
set -eu
processes=${1:-20}
rounds=${2:-200}
tenure=${TENURE:-tenure}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export TENURE_STORE="sqlite:$folder/locks.db"
cd "$folder"
echo 0 > counter
cat > increment <<'STEP'
#!/bin/sh
n=$(cat counter)
echo $((n + 1)) > counter
STEP
chmod +x increment

began=$(date +%s)
workers=""
for _ in $(seq "$processes"); do
    (
        i=0
        while [ $i -lt "$rounds" ]; do
            "$tenure" lock counter -- ./increment || exit 1
            i=$((i + 1))
        done
    ) &
    workers="$workers $!"
done
for worker in $workers; do
    wait "$worker"
done
final=$(cat counter)
echo "$final after $(($(date +%s) - began)) s, expected $((processes * rounds))"
[ "$final" -eq $((processes * rounds)) ]
