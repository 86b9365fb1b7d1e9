# SMTP: a server that takes mail and keeps each email as a file, with aiosmtpd from PyPI.

install_smtp() {
  "$scripts/prerequisites" python
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/tertulia
  mkdir -p "$cache"
  (
    flock 8
    if [ ! -e "$cache/smtp/installed" ]; then
      "$scripts/python-venv" "$cache/smtp" "$scripts/stack.d/smtp.txt"
      touch "$cache/smtp/installed"
    fi
  ) 8>"$cache/lock-of-smtp"
  smtp_python=$cache/smtp/bin/python
}

start_smtp() {
  local directory=$STACK_DIR/smtp/server port=$((STACK_PORTS + 25))
  mkdir -p "$directory"
  local arguments=()
  if [ "$STACK_TLS" = 1 ]; then
    arguments=("$STACK_DIR/tls/pair.pem" "$user" "$STACK_DIR/tls/password")
  fi
  run "$directory" "$port" "$smtp_python" -u "$scripts/stack.d/smtp_server.py" "$port" "${arguments[@]}"
  until_true "SMTP on $port" listening "$port"
}

env_smtp() {
  echo "SMTP_URL=$(scheme smtp smtps)://$(url_credentials)127.0.0.1:$((STACK_PORTS + 25))"
  echo "MAIL_FROM=tertulia@example.org"
}
