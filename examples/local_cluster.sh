#!/bin/bash
# Three `tenure serve` processes on loopback, eight client processes that contend for one lock and count in
# a file under it, and a leader that is killed with SIGKILL halfway. Ends with an account of what happened;
# exit status 0 if the lock was one. On a bare Debian 12 it first installs what is missing, and builds.
#
#   examples/local_cluster.sh [--seconds=S] [--without-lock] [--bin=DIR]
#     --seconds=S       how long the clients count; 10 by default, at least 6
#     --without-lock    they count without the lock: to see what the account says then
#     --bin=DIR         run the programs in DIR; install and build nothing
#
# Six clients are programs that link Tenure (count_under_lock.cc), two are shells that run
# `tenure lock NAME -- COMMAND` again and again. The file is read, a millisecond goes by, and the count is
# written: without the lock, counts are lost. Nothing that it starts outlives it.
set -euo pipefail
usage() { sed -n '2,14s/^# \{0,1\}//p' "$0"; }
fail() { echo "local_cluster.sh: $1" >&2; exit "${2:-1}"; }

seconds=10 without_lock= bin=
while [ $# -gt 0 ]; do
  case $1 in
    --seconds=*) seconds=${1#*=} ;;
    --without-lock) without_lock=--without-lock ;;
    --bin=*) bin=${1#*=} ;;
    --help|-h) usage; exit 0 ;;
    *) fail "what is '$1'? See examples/local_cluster.sh --help" 64 ;;
  esac
  shift
done
[[ $seconds =~ ^[0-9]+$ ]] && [ "$seconds" -ge 6 ] || fail "--seconds=$seconds: a whole number, at least 6" 64
[ -z "$bin" ] || [ -x "$bin/tenure" ] || fail "--bin=$bin: there is no program \`tenure\` in it" 64
[ -z "$bin" ] || bin=$(cd "$bin" && pwd)
cd "$(dirname "$0")/.."

# ---- What runs in the background, each in a process group of its own, and how it ends ----------------
scratch=$(mktemp -d)
members=() others=()
# Not beyond this script either, should it be killed outright: also not what was started so late that
# it is bound to nobody any more.
export BOUND_TO=$$
bound=()
! command -v setpriv >/dev/null ||
  bound=(setpriv --pdeathsig KILL bash -c '[ "$PPID" = "$BOUND_TO" ] && exec "$@"' bound)

running() { kill -0 -- "-$1" 2>/dev/null; }
signal_all() { for group in "${@:2}"; do kill "-$1" -- "-$group" 2>/dev/null || true; done; }
await_end() {  # of these groups, for at most ten seconds
  local group turns=0
  for group in "$@"; do
    while running "$group" && [ $((turns += 1)) -lt 200 ]; do pause 0.05; done
  done
  for group in "$@"; do
    if running "$group"; then return 1; fi
  done
}
# `sleep` in the background: a signal to this script is acted on at once.
sleeper=
pause() { "${bound[@]}" sleep "$1" & sleeper=$!; wait "$sleeper"; sleeper=; }

clean_up() {
  local status=$?
  trap '' HUP INT TERM
  [ -z "$sleeper" ] || kill "$sleeper"
  # Clients first, while there is a cluster that they can take leave of.
  signal_all TERM "${others[@]}"
  await_end "${others[@]}" || true
  signal_all KILL "${others[@]}" "${members[@]}"
  await_end "${others[@]}" "${members[@]}" || true
  rm -rf "$scratch"
  exit "$status"
} 2>/dev/null
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- Install and build -------------------------------------------------------------------------------
if [ -z "$bin" ]; then
  # In the foreground: sudo may ask for a password, and apt-get is not to be torn away.
  tests/setup.sh
  bin=$PWD/build/release/bin
  echo "Building (the first time this takes some minutes)"
  set -m
  { cmake --preset release && cmake --build --preset release --target local_cluster_programs; } \
    >"$scratch/build.log" 2>&1 </dev/null &
  set +m
  others+=($!)
  wait $! || { cat "$scratch/build.log"; fail "the build failed"; }
fi

# ---- Three members -----------------------------------------------------------------------------------
export TZ=UTC
declare -A member
serve() {  # ID CLUSTER
  : >"$scratch/$1.out"  # may be read before its writer runs
  set -m
  "${bound[@]}" "$bin/tenure" serve --id="$1" --cluster="$2" --new \
    >"$scratch/$1.out" 2>"$scratch/$1.log" </dev/null &
  set +m
  # Bash would report that it was killed, which is meant.
  disown $!
  member[$1]=$!
  members+=($!)
}
# True once all three serve; false if a port was taken meanwhile.
serve_all() {
  # Below the ports that the kernel gives to outgoing connections.
  local id port=$((10000 + RANDOM % 20000)) cluster=
  for id in n1 n2 n3; do cluster+=${cluster:+,}$id=127.0.0.1:$((port++)); done
  endpoints=${cluster//n[0-9]=}
  for id in n1 n2 n3; do serve "$id" "$cluster"; done
  for id in n1 n2 n3; do
    until grep -q 'serves on' "$scratch/$id.out"; do
      if ! running "${member[$id]}"; then
        grep -q 'port is taken' "$scratch/$id.log" || { cat "$scratch/$id.log"; fail "$id does not start"; }
        signal_all KILL "${member[@]}"
        await_end "${member[@]}" || true
        return 1
      fi
      pause 0.05
    done
  done
}
leader() { "$bin/tenure" status --json --timeout=2s 2>/dev/null | sed -n 's/.*"leader":"\([^"]*\)".*/\1/p'; }

attempts=0
until serve_all; do
  [ $((attempts += 1)) -lt 20 ] || fail "found no three free ports"
done
export TENURE_ENDPOINTS=$endpoints
turns=0
until led=$(leader) && [ -n "$led" ]; do
  [ $((turns += 1)) -lt 200 ] || { cat "$scratch"/n?.log; fail "no leader was elected"; }
  pause 0.1
done
echo "Three members serve on $endpoints; $led leads"

# ---- Eight clients -----------------------------------------------------------------------------------
clients=()
client() {  # NUMBER COMMAND...
  local number=$1
  shift
  set -m
  "${bound[@]}" "$@" --counter="$scratch/counter" --journal="$scratch/journal.$number" \
    >>"$scratch/clients.log" 2>&1 </dev/null &
  set +m
  clients+=($!)
  others+=($!)
}
echo 0 >"$scratch/counter"
for number in 1 2 3 4 5 6; do
  client "$number" "$bin/count_under_lock" --at="tenure://$endpoints" ${without_lock:+"$without_lock"}
done
for number in 7 8; do
  if [ -n "$without_lock" ]; then
    client "$number" "$bin/count_under_lock" "$without_lock"
  else
    # TERM reaches the shell and `tenure lock`, which passes it on; the last count is finished all the same.
    client "$number" bash -c 'export BOUND_TO=$$
      trap "stop=1" TERM
      while [ -z "${stop:-}" ]; do "$@" || [ -n "${stop:-}" ] || exit; done' \
      client "${bound[@]}" "$bin/tenure" lock counter -- "$bin/count_under_lock"
  fi
done
echo "Eight client processes count for $seconds s"

pause "$((seconds / 2))"
led=$(leader)
[ -n "$led" ] || fail "there is no leader to kill"
killed_ms=$(date +%s%3N)
read -r killed_at _ </proc/uptime
signal_all KILL "${member[$led]}"
echo "Killed $led, the leader, with SIGKILL"
pause "$((seconds - seconds / 2))"

signal_all TERM "${clients[@]}"
await_end "${clients[@]}" || fail "a client does not end"
good=true
for pid in "${clients[@]}"; do
  wait "$pid" || { echo "A client ended with status $?:"; tail -n 5 "$scratch/clients.log"; good=false; }
done

# ---- The account -------------------------------------------------------------------------------------
echo
"$bin/account" "$scratch/counter" "$killed_at" "$scratch"/journal.? || good=false
# "2026-01-31 12:00:00.000 n2: leads in term 3": the first of the survivors', after the kill.
led_ms= next=
while read -r day time id _; do
  ms=$(date -d "$day $time" +%s%3N)
  if [ "$ms" -ge "$killed_ms" ]; then led_ms=$ms next=${id%:}; break; fi
done < <(cat "$scratch"/n?.log | grep ' leads in term ' | sort)
if [ -n "$led_ms" ]; then
  printf '  %-9s none for %d ms: from the SIGKILL of %s until %s wrote into its log that it leads\n' \
    leader $((led_ms - killed_ms)) "$led" "$next"
else
  echo "  leader    WRONG: nobody led after $led was killed"
  good=false
fi
$good && echo "The lock held." || fail "the lock did not hold"
