#!/bin/bash
# One whole table from its sweep file to its report, with a training and a worker of Ray killed on the way (`make sweep-demo`).
set -euo pipefail

runs=runs/sweep-demo
file=sweeps/demo_table1.yaml
results=$runs/sweeps/demo_table1

[ -f "$runs/corpus/synthetic.json" ] || avsp data synth --root "$runs/corpus" --corpus AVAD --videos 12 --seconds 3
rm -rf "$runs/sweeps" "$runs/tests" "$runs/trainings"

avsp sweep run "$file" --runs "$runs" --jobs 2 &
driver=$!
trap 'kill "$driver" 2>/dev/null || true' EXIT

# Process of a training that has a checkpoint and still runs, other than the one given.
training() {
    local checkpoint folder process
    for checkpoint in "$runs"/trainings/*/checkpoints/last.ckpt; do
        folder=${checkpoint%/checkpoints/last.ckpt}
        [ -f "$folder/attempts.json" ] || continue
        process=$(grep -o '"pid": [0-9]*' "$folder/attempts.json" | tail -n 1 | tr -dc 0-9)
        if [ "$process" != "${1:-}" ] && grep -q '"code": null' "$folder/attempts.json" && kill -0 "$process" 2>/dev/null; then
            echo "$process"
            return
        fi
    done
    return 1
}
finished() { find "$results" -name result.json 2>/dev/null | wc -l; }
wait_until() { until "$@"; do kill -0 "$driver" || exit 1; sleep 0.2; done; }
found() { process=$(training "${victim:-}"); }
has_results() { [ "$(finished)" -ge "$1" ]; }

wait_until found
victim=$process
kill -KILL "$victim"
echo "killed training $victim"
wait_until has_results 2
wait_until found
worker=$(ps -o ppid= -p "$process" | tr -d ' ')
kill -KILL "$worker"
echo "killed worker $worker, and with it training $process"
wait "$driver"
trap - EXIT

avsp sweep status "$file" --runs "$runs"
attempts=$(cat "$runs"/trainings/*/attempts.json | grep -c '"started"')
trainings=$(find "$runs/trainings" -mindepth 1 -maxdepth 1 | wc -l)
tests=$(cat "$runs"/tests/*/attempts.json | grep -c '"started"')
echo "$(finished) results of $trainings trainings in $attempts attempts, and $tests tests"
# 12 trainings, two of them resumed once; no test was disturbed
[ "$(finished) $trainings $attempts $tests" = "12 12 14 12" ] || { echo "something was lost or done twice" >&2; exit 1; }
avsp report --sweep "$file" --runs "$runs" --format html --out "$runs/report.html"
echo "report    $runs/report.html"
