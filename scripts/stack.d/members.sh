# Members: the processes of a service, each in a directory of its own with its `pid`, `port` and `log`.

# Who services know where STACK_TLS is 1, by the password in STACK_DIR/tls.
user=tertulia
password() {
  cat "$STACK_DIR/tls/password"
}

fail() {
  echo "stack: $*" >&2
  exit 1
}

# What this stack was started with holds until it is taken down: half of it on other ports would be of no use.
settings() {
  local ports=${STACK_PORTS:-} tls=${STACK_TLS:-}
  STACK_DIR=$(realpath -m "${STACK_DIR:-target/stack}")
  if [ -e "$STACK_DIR/settings" ]; then
    source "$STACK_DIR/settings"
    if [ "${ports:-$STACK_PORTS}" != "$STACK_PORTS" ] || [ "${tls:-$STACK_TLS}" != "$STACK_TLS" ]; then
      fail "$STACK_DIR was started with STACK_PORTS=$STACK_PORTS STACK_TLS=$STACK_TLS; take it down first"
    fi
  else
    STACK_PORTS=$ports STACK_TLS=${tls:-0}
  fi
}

# Takes STACK_PORTS, or a hundred ports that no other stack of this user has, and notes them with STACK_TLS.
choose_settings() {
  if [ -e "$STACK_DIR/settings" ]; then return; fi
  local stacks=${TMPDIR:-/tmp}/tertulia-stacks-$(id -u)
  {
    flock 8
    local ports directory taken=" " lines=()
    # A stack that was taken down, or deleted with its checkout, has none any more.
    while read -r ports directory; do
      if grep -qs "^STACK_PORTS=$ports " "$directory/settings"; then
        lines+=("$ports $directory")
        taken+="$ports "
      fi
    done <"$stacks"
    for ((ports = 21000; ports < 23000 && ${#STACK_PORTS} == 0; ports += 100)); do
      if [[ $taken != *" $ports "* ]] && ! any_listening "$ports"; then STACK_PORTS=$ports; fi
    done
    if [ -z "$STACK_PORTS" ]; then fail "no hundred ports from 21000 to 22999 are free; STACK_PORTS chooses others"; fi
    lines+=("$STACK_PORTS $STACK_DIR")
    printf '%s\n' "${lines[@]}" >"$stacks"
    printf 'STACK_PORTS=%s STACK_TLS=%s\n' "$STACK_PORTS" "$STACK_TLS" >"$STACK_DIR/settings"
  } 8>>"$stacks"
}

any_listening() {
  local port
  for ((port = $1; port < $1 + 100; port++)); do
    if listening "$port"; then return 0; fi
  done
  return 1
}

# One command at a time works on a stack.
lock() {
  mkdir -p "$STACK_DIR"
  exec 9>"$STACK_DIR/lock"
  flock 9
}

# Whether the member in this directory runs, in it or below. A pid that was given to another process since doesn't count.
running() {
  local pid
  [ -e "$1/pid" ] && pid=$(cat "$1/pid") && [[ $(readlink "/proc/$pid/cwd")/ == "$(realpath "$1")"/* ]]
}

listening() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Notes which members of services run, before others are started: begin SERVICE...
begin() {
  local service member
  declare -gA running_before=()
  begun=("$@")
  for service in "${begun[@]}"; do
    for member in "$STACK_DIR/$service"/*/; do
      # The pid of one that ended says nothing of the one that is going to be started.
      if running "$member"; then running_before[$member]=1; else rm -f "${member}pid"; fi
    done
  done
}

# Ends the members that were started since, and keeps their logs.
give_up() {
  local service member
  for service in "${begun[@]}"; do
    for member in "$STACK_DIR/$service"/*/; do
      if [ -z "${running_before[$member]-}" ]; then end KILL "$member"; fi
    done
  done
}

# Starts a program in a member's directory, unless it runs: run DIRECTORY PORT PROGRAM ARGUMENT...
run() {
  local directory=$1 port=$2
  shift 2
  if running "$directory"; then return; fi
  # Another program's answers would be taken for the member's.
  if listening "$port"; then fail "port $port is in use; STACK_PORTS chooses others"; fi
  echo "$port" >"$directory/port"
  (
    # First of all, as a process is its member's by the directory it works in.
    cd "$directory"
    # A session of its own: Ctrl-C of whoever started the stack isn't for it. The lock isn't either.
    setsid "$@" </dev/null >>log 2>&1 9>&- &
    echo $! >pid
  )
}

# Waits until a command succeeds: until_true WHAT COMMAND... A member of $service that was started and has ended since
# ends the waiting.
until_true() {
  local what=$1 member
  shift
  until "$@" >/dev/null 2>&1; do
    for member in "$STACK_DIR/$service"/*/; do
      if [ -e "${member}pid" ] && ! running "$member"; then
        fail "process $(cat "${member}pid") of $member has ended ($(stat -c 'started %y' "${member}pid"), now $(date +%T.%N)); ${member}log: $(tail -n 3 "${member}log")"
      fi
    done
    if [ $SECONDS -ge "$deadline" ]; then fail "no $what in time; the logs are below $STACK_DIR"; fi
    sleep 0.1
  done
}

# The processes of a member: the one that it noted, and of PostgreSQL those that it started, which outlive it when it is
# killed, for ever if they are paused.
processes() {
  if running "$1"; then cat "$1/pid"; fi
  if [ -e "$1/data/PG_VERSION" ]; then postgresql_processes "$1"; fi
}

# Ends members, paused ones too: end SIGNAL DIRECTORY... Who hasn't ended within 20 s is killed.
end() {
  local signal=$1 directory pids
  shift
  for directory in "$@"; do
    pids=$(processes "$directory")
    if [ -z "$pids" ]; then continue; fi
    if [ "$signal" = KILL ]; then
      # shellcheck disable=SC2086 # several
      kill -KILL $pids 2>/dev/null || true
    else
      if running "$directory"; then kill -"$(ending "$signal" "$directory")" "$(cat "$directory/pid")"; fi
      # shellcheck disable=SC2086 # several
      kill -CONT $pids 2>/dev/null || true
    fi
  done
  local last=$((SECONDS + 20))
  for directory in "$@"; do
    while pids=$(processes "$directory") && [ -n "$pids" ]; do
      # shellcheck disable=SC2086 # several
      if [ $SECONDS -ge $last ]; then kill -KILL $pids 2>/dev/null || true; fi
      sleep 0.05
    done
  done
}

# The signal by which a member ends soon: PostgreSQL would wait for its clients to leave at a TERM.
ending() {
  if [ "$1" = TERM ] && [ -e "$2/data/PG_VERSION" ]; then echo INT; else echo "$1"; fi
}

# Prints members, their ports and whether they run: show DIRECTORY...
show() {
  local member
  for member in "$@"; do
    if [ ! -e "$member/pid" ]; then continue; fi
    printf '%-24s port %-6s %s\n' "$(realpath --relative-to="$STACK_DIR" "$member")" "$(cat "$member/port")" \
      "$(if running "$member"; then echo "pid $(cat "$member/pid")"; else echo stopped; fi)"
  done
}
