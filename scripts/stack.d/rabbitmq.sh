# RabbitMQ: one broker alone, from Debian's package, whose own isn't used, with a port mapper of Erlang's for it alone, which isn't
# the machine's either.

install_rabbitmq() { "$scripts/prerequisites" rabbitmq; }

# The broker's environment, and that of its commands.
rabbitmq_environment() {
  local directory=$STACK_DIR/rabbitmq/broker
  rabbitmq_environment=(
    env -u NOTIFY_SOCKET HOME="$directory" ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=$((STACK_PORTS + 24))
    RABBITMQ_NODENAME="tertulia-$STACK_PORTS@localhost" RABBITMQ_DIST_PORT=$((STACK_PORTS + 23))
    RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_MNESIA_BASE="$directory/data" RABBITMQ_LOG_BASE="$directory"
    RABBITMQ_LOGS=- RABBITMQ_CONFIG_FILE="$directory/rabbitmq.conf" RABBITMQ_ADVANCED_CONFIG_FILE="$directory/none"
    RABBITMQ_CONF_ENV_FILE="$directory/none" RABBITMQ_ENABLED_PLUGINS_FILE="$directory/plugins"
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"
    # Its script becomes the broker rather than waiting for it.
    RUNNING_UNDER_SYSTEMD=1
  )
}

# A directory of commands that may be run by anybody who owns it: Debian's wrappers insist on a user.
rabbitmq_programs=/usr/lib/rabbitmq/bin

start_rabbitmq() {
  local directory=$STACK_DIR/rabbitmq/broker port=$((STACK_PORTS + 22)) rabbitmq_environment
  mkdir -p "$STACK_DIR/rabbitmq/mapper" "$directory"
  echo '[].' >"$directory/plugins"
  rabbitmq_configuration $port | (umask 077 && cat >"$directory/rabbitmq.conf")
  rabbitmq_environment
  run "$STACK_DIR/rabbitmq/mapper" $((STACK_PORTS + 24)) epmd -address 127.0.0.1 -port $((STACK_PORTS + 24))
  until_true "port mapper on $((STACK_PORTS + 24))" listening $((STACK_PORTS + 24))
  run "$directory" $port "${rabbitmq_environment[@]}" $rabbitmq_programs/rabbitmq-server
  until_true "RabbitMQ on $port" listening $port
}

rabbitmq_configuration() {
  cat <<CONF
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 100MB
log.console.level = warning
# A cut connection is noticed by its heartbeats.
heartbeat = 10
CONF
  if [ "$STACK_TLS" = 1 ]; then
    cat <<CONF
listeners.tcp = none
listeners.ssl.1 = 127.0.0.1:$1
ssl_options.cacertfile = $STACK_DIR/tls/ca.pem
ssl_options.certfile = $STACK_DIR/tls/server.pem
ssl_options.keyfile = $STACK_DIR/tls/server.key
ssl_options.verify = verify_none
default_user = $user
default_pass = $(password)
CONF
  else
    echo "listeners.tcp.1 = 127.0.0.1:$1"
  fi
}

env_rabbitmq() {
  echo "RABBITMQ_URL=$(scheme amqp amqps)://$(if [ "$STACK_TLS" = 1 ]; then url_credentials; else echo guest:guest@; fi)127.0.0.1:$((STACK_PORTS + 22))"
}
