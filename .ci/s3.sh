#!/bin/sh
# Starts a throw-away S3 server with Object Lock (versitygw, built from
# .ci/servers) that keeps its files in DIR, on a free loopback port, and prints
# the lines that tests need:
#
#	eval "$(.ci/s3.sh DIR BINARY)"; go test ./pkg/archive/
#
# The tests make the bucket. Stop the server with: .ci/s3.sh DIR stop
set -eu
[ $# -eq 2 ] || { echo "usage: $0 DIR BINARY | $0 DIR stop" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
if [ "$2" = stop ]; then
	kill "$(cat "$dir/pid")" && rm "$dir/pid"
	exit 0
fi
# Absolute paths: the server changes its working directory. Versions must live
# outside the data; both need a file system with user extended attributes.
mkdir -p "$dir/data" "$dir/versions"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
ROOT_ACCESS_KEY=greffe-test ROOT_SECRET_KEY=greffe-test-secret "$2" --port "127.0.0.1:$port" --quiet --health /healthz \
	posix --versioning-dir "$dir/versions" "$dir/data" >"$dir/server.log" 2>&1 &
echo $! >"$dir/pid"
n=0
until python3 -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$port/healthz', timeout=2)" 2>/dev/null; do
	n=$((n + 1))
	if [ $n -gt 100 ] || ! kill -0 "$(cat "$dir/pid")" 2>/dev/null; then
		echo "$0: the server does not answer" >&2
		cat "$dir/server.log" >&2
		exit 1
	fi
	sleep 0.1
done
cat <<END
export GREFFE_TEST_S3='http://127.0.0.1:$port'
export GREFFE_TEST_S3_BUCKET='greffe-test'
export GREFFE_TEST_S3_ACCESS='greffe-test'
export GREFFE_TEST_S3_SECRET='greffe-test-secret'
END
