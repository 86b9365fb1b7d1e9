# Redis: a cluster, one alone, and a master with a replica under Sentinel. Nothing is kept on the disk, so a killed
# member comes back empty, as a cache does.

install_redis_cluster() { "$scripts/prerequisites" redis; }
install_redis() { install_redis_cluster; }
install_sentinel() { install_redis_cluster; }

# redis-cli to a port, with credentials where they are wanted.
redis() {
  local port=$1
  shift
  if [ "$STACK_TLS" = 1 ]; then
    REDISCLI_AUTH=$(password) redis-cli --user $user --tls --cacert "$STACK_DIR/tls/ca.pem" -h 127.0.0.1 -p "$port" "$@"
  else
    redis-cli -h 127.0.0.1 -p "$port" "$@"
  fi
}

# How a Redis or a Sentinel is reached, and by whom.
redis_access() {
  if [ "$STACK_TLS" = 0 ]; then
    echo "port $1"
    return
  fi
  cat <<CONF
port 0
tls-port $1
tls-cert-file $STACK_DIR/tls/server.pem
tls-key-file $STACK_DIR/tls/server.key
tls-ca-cert-file $STACK_DIR/tls/ca.pem
tls-auth-clients no
tls-replication yes
user default off
user $user on >$(password) ~* &* +@all
CONF
}

# Starts a Redis; further lines of its configuration come from stdin: run_redis MEMBER PORT
run_redis() {
  local directory=$STACK_DIR/$1 port=$2
  if running "$directory"; then return; fi
  mkdir -p "$directory"
  # A configuration that is there may have been rewritten by Sentinel: it knows who the master is.
  if [ ! -e "$directory/redis.conf" ]; then
    {
      redis_access "$port"
      cat <<CONF
bind 127.0.0.1
dir $directory
save ""
appendonly no
maxmemory 512mb
maxmemory-policy noeviction
repl-diskless-sync-delay 0
CONF
      if [ "$STACK_TLS" = 1 ]; then printf 'masteruser %s\nmasterauth %s\n' $user "$(password)"; fi
      cat
    } | (umask 077 && cat >"$directory/redis.conf")
  fi
  run "$directory" "$port" redis-server "$directory/redis.conf"
}

redis_answers() {
  [ "$(redis "$1" ping)" = PONG ]
}

redis_says() {
  redis "$1" "${@:3}" | tr -d '\r' | grep -qx "$2"
}

url_credentials() {
  if [ "$STACK_TLS" = 1 ]; then echo "$user:$(password)@"; fi
}

scheme() {
  if [ "$STACK_TLS" = 1 ]; then echo "$2"; else echo "$1"; fi
}

# host:port of members, with commas between.
hosts() {
  local offset list=
  for offset in "$@"; do list+=,127.0.0.1:$((STACK_PORTS + offset)); done
  echo "${list#,}"
}

cluster_whole() {
  local node port
  for node in 0 1 2 3 4 5; do
    port=$((STACK_PORTS + node))
    redis_says $port cluster_state:ok cluster info
    redis_says $port cluster_known_nodes:6 cluster info
    # Of the three masters' replicas, as this node knows them, all three are there and none is failing.
    [ "$(redis $port cluster nodes | grep -c ' \(myself,\)\?slave .* connected')" = 3 ]
    redis_says $port role:master info replication || redis_says $port master_link_status:up info replication
  done
}

start_redis_cluster() {
  local node
  for node in 0 1 2 3 4 5; do
    run_redis redis-cluster/node-$node $((STACK_PORTS + node)) <<CONF
cluster-enabled yes
cluster-config-file nodes.conf
cluster-port $((STACK_PORTS + 10 + node))
cluster-node-timeout 2000
$(if [ "$STACK_TLS" = 1 ]; then echo "tls-cluster yes"; fi)
CONF
  done
  for node in 0 1 2 3 4 5; do until_true "Redis on $((STACK_PORTS + node))" redis_answers $((STACK_PORTS + node)); done
  if redis_says "$STACK_PORTS" cluster_known_nodes:1 cluster info; then
    # It asks the first node for its credentials and gives them to all.
    local nodes
    IFS=, read -ra nodes <<<"$(hosts 0 1 2 3 4 5)"
    redis "$STACK_PORTS" --cluster create "${nodes[@]}" --cluster-replicas 1 --cluster-yes \
      >"$STACK_DIR/redis-cluster/create.log" 2>&1 || fail "no cluster: $(tail -3 "$STACK_DIR/redis-cluster/create.log")"
  fi
  until_true "whole Redis Cluster" eval 'set -e; cluster_whole'
}

env_redis_cluster() {
  echo "REDIS_URL=$(scheme redis rediss)://$(url_credentials)$(hosts 0 1 2 3 4 5)"
}

start_redis() {
  run_redis redis/alone $((STACK_PORTS + 20)) </dev/null
  until_true "Redis on $((STACK_PORTS + 20))" redis_answers $((STACK_PORTS + 20))
}

env_redis() {
  echo "REDIS_SINGLE_URL=$(scheme redis rediss)://$(url_credentials)$(hosts 20)"
}

# Each Sentinel keeps what it learns in its configuration.
run_sentinel() {
  local directory=$STACK_DIR/sentinel/sentinel-$1 port=$((STACK_PORTS + 32 + $1))
  mkdir -p "$directory"
  if [ ! -e "$directory/sentinel.conf" ]; then
    {
      redis_access $port
      cat <<CONF
bind 127.0.0.1
dir $directory
sentinel monitor $user 127.0.0.1 $((STACK_PORTS + 30)) 2
sentinel down-after-milliseconds $user 1000
sentinel failover-timeout $user 5000
CONF
      if [ "$STACK_TLS" = 1 ]; then
        printf '%s\n' "sentinel auth-user $user $user" "sentinel auth-pass $user $(password)" \
          "sentinel sentinel-user $user" "sentinel sentinel-pass $(password)"
      fi
    } | (umask 077 && cat >"$directory/sentinel.conf")
  fi
  run "$directory" "$port" redis-server "$directory/sentinel.conf" --sentinel
}

# Three Sentinels that know each other, the master and its replica.
sentinel_whole() {
  local port
  for port in $((STACK_PORTS + 32)) $((STACK_PORTS + 33)) $((STACK_PORTS + 34)); do
    redis $port info sentinel | grep -q "name=$user,status=ok,.*,slaves=1,sentinels=3"
    redis $port sentinel replicas $user | grep -A1 master-link-status | grep -q ok
  done
}

start_sentinel() {
  local master=$((STACK_PORTS + 30)) replica=$((STACK_PORTS + 31)) sentinel
  run_redis sentinel/redis-0 $master </dev/null
  run_redis sentinel/redis-1 $replica <<<"replicaof 127.0.0.1 $master"
  until_true "Redis on $master" redis_answers $master
  until_true "Redis on $replica" redis_answers $replica
  for sentinel in 0 1 2; do run_sentinel $sentinel; done
  until_true "Sentinel with a master and a replica" eval 'set -e; sentinel_whole'
}

env_sentinel() {
  echo "SENTINEL_URL=$(scheme redis-sentinel rediss-sentinel)://$(url_credentials)$(hosts 32 33 34)/$user"
}
