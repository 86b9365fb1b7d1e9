# PostgreSQL: a primary and a streaming replica, from Debian's package, whose own cluster isn't used. A server doesn't run as
# root; whoever is root runs it as Debian's user postgres.

install_postgresql() { "$scripts/prerequisites" postgresql; }

# The directory of the server's programs, which isn't in PATH: POSTGRESQL_BIN, or the newest of Debian's, or PATH's.
postgresql_programs() {
  local programs
  for programs in "${POSTGRESQL_BIN:-}" $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV) \
    "$(dirname "$(realpath "$(command -v initdb || true)")")"; do
    if [ -x "$programs/postgres" ] && [ -x "$programs/initdb" ] && [ -x "$programs/psql" ]; then
      echo "$programs"
      return
    fi
  done
  fail "there is no PostgreSQL; POSTGRESQL_BIN names the directory of its programs"
}

# The command that makes another one the servers' user's, in the same process; nothing if they are this user's.
postgresql_user() {
  as_postgresql=()
  if [ "$(id -u)" != 0 ]; then return; fi
  as_postgresql=(setpriv --reuid=postgres --regid=postgres --init-groups)
  # The server finds its directory by names. If others may not enter those above it, it may nevertheless.
  if ! "${as_postgresql[@]}" test -x "$STACK_DIR/postgresql"; then
    as_postgresql+=(--inh-caps=+dac_override --ambient-caps=+dac_override)
  fi
  # Where its programs look for certificates of their own isn't root's either.
  as_postgresql+=(env HOME="$STACK_DIR/postgresql")
}

# The server's processes that work on the data of the member in this directory.
postgresql_processes() {
  local work
  for work in $(find /proc -mindepth 2 -maxdepth 2 -name cwd -lname "$(realpath "$1")/data" 2>/dev/null); do
    if [ "$(cat "${work%cwd}comm" 2>/dev/null)" = postgres ]; then basename "${work%/cwd}"; fi
  done
}

# Starts a member: run_postgresql MEMBER PORT
run_postgresql() {
  local directory=$STACK_DIR/postgresql/$1 port=$2
  if running "$directory"; then return; fi
  # Of a server that was killed, its processes end a moment later.
  until [ -z "$(postgresql_processes "$directory")" ]; do
    if [ $SECONDS -ge "$deadline" ]; then fail "processes of $directory don't end"; fi
    sleep 0.05
  done
  # Then its pid says nothing: it may be another process's, which would keep this server from starting.
  rm -f "$directory/data/postmaster.pid"
  run "$directory" "$port" "${as_postgresql[@]}" "$programs/postgres" -D "$directory/data" -p "$port"
}

# A directory of a member's, its server's own.
make_postgresql_directory() {
  local directory=$STACK_DIR/postgresql/$1
  mkdir -p "$directory"
  if [ "$(id -u)" = 0 ]; then chown postgres: "$directory"; fi
}

start_postgresql() {
  local programs as_postgresql primary=$((STACK_PORTS + 50)) replica=$((STACK_PORTS + 51))
  programs=$(postgresql_programs)
  make_postgresql_directory primary
  make_postgresql_directory replica
  postgresql_user
  if [ ! -e "$STACK_DIR/postgresql/primary/made" ]; then make_postgresql_primary; fi
  run_postgresql primary $primary
  until_true "PostgreSQL on $primary" postgresql_says $primary f "SELECT pg_is_in_recovery()"
  if [ ! -e "$STACK_DIR/postgresql/replica/made" ]; then
    make_postgresql_replica $primary
  fi
  run_postgresql replica $replica
  until_true "PostgreSQL on $replica" postgresql_says $replica t "SELECT pg_is_in_recovery()"
  until_true "replica of PostgreSQL that streams" postgresql_says $primary streaming \
    "SELECT state FROM pg_stat_replication WHERE application_name = 'replica'"
}

make_postgresql_primary() {
  local directory=$STACK_DIR/postgresql/primary access
  rm -rf "$directory/data"
  if [ "$STACK_TLS" = 1 ]; then
    # The server reads its key itself, and no other's.
    install -m 600 "$STACK_DIR/tls/password" "$STACK_DIR/tls/server.key" "$STACK_DIR/tls/server.pem" "$STACK_DIR/tls/ca.pem" \
      "$directory"
    if [ "$(id -u)" = 0 ]; then chown postgres: "$directory"/{password,server.key,server.pem,ca.pem}; fi
    access=(--auth=scram-sha-256 --pwfile="$directory/password")
  else
    access=(--auth=trust)
  fi
  (cd "$directory" && "${as_postgresql[@]}" "$programs/initdb" --pgdata "$directory/data" --username=$user --encoding=UTF8 \
    --locale=C.UTF-8 --no-instructions "${access[@]}") >>"$directory/log" 2>&1 || fail "initdb: $directory/log"
  # Commits are durable, as that is what it is there for. What keeps the write-ahead log is bounded.
  "${as_postgresql[@]}" tee -a "$directory/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
shared_buffers = 64MB
wal_level = replica
max_wal_senders = 4
wal_keep_size = 256MB
max_wal_size = 512MB
hot_standby_feedback = on
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 200ms
log_min_messages = warning
$(if [ "$STACK_TLS" = 1 ]; then printf 'ssl = on\n%s\n%s\n' "ssl_cert_file = '$directory/server.pem'" "ssl_key_file = '$directory/server.key'"; fi)
CONF
  if [ "$STACK_TLS" = 1 ]; then
    "${as_postgresql[@]}" tee "$directory/data/pg_hba.conf" >/dev/null <<CONF
hostssl all,replication $user 127.0.0.1/32 scram-sha-256
CONF
  fi
  "${as_postgresql[@]}" touch "$directory/made"
}

# Copies what the primary has, with where to follow it. The mark that a copy is whole is beside it: within, it would be copied too.
make_postgresql_replica() {
  local directory=$STACK_DIR/postgresql/replica access="host=127.0.0.1 port=$1 user=$user application_name=replica"
  rm -rf "$directory/data"
  if [ "$STACK_TLS" = 1 ]; then
    access+=" sslmode=verify-full sslrootcert=$STACK_DIR/postgresql/primary/ca.pem password=$(password)"
  fi
  (cd "$directory" && "${as_postgresql[@]}" "$programs/pg_basebackup" --pgdata="$directory/data" --dbname="$access" --write-recovery-conf \
    --checkpoint=fast --wal-method=stream --no-sync) >>"$directory/log" 2>&1 || fail "pg_basebackup: $directory/log"
  "${as_postgresql[@]}" touch "$directory/made"
}

# Whether a server answers a question so: postgresql_says PORT ANSWER SQL
postgresql_says() {
  local access="host=127.0.0.1 port=$1 user=$user dbname=postgres connect_timeout=2"
  if [ "$STACK_TLS" = 1 ]; then access+=" sslmode=require password=$(password)"; fi
  [ "$("$programs/psql" --no-psqlrc --tuples-only --no-align --dbname="$access" --command="$3")" = "$2" ]
}

postgresql_url() {
  echo "postgres://$(if [ "$STACK_TLS" = 1 ]; then url_credentials; else echo "$user@"; fi)$(hosts "$1")/postgres"
}

env_postgresql() {
  echo "DATABASE_URL=$(postgresql_url 50)"
  echo "DATABASE_REPLICA_URLS=$(postgresql_url 51)"
}
