#!/bin/sh
# Starts a throw-away NATS server with JetStream that keeps its files in DIR, on
# a free loopback port, and prints its URL in the variable NAME:
#
#	eval "$(.ci/nats.sh DIR BINARY NAME)"
#
# Stop it with: .ci/nats.sh DIR stop
set -eu
[ $# -ge 2 ] || { echo "usage: $0 DIR BINARY NAME | $0 DIR stop" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
if [ "$2" = stop ]; then
	kill "$(cat "$dir/pid")" && rm "$dir/pid"
	exit 0
fi
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$2" -a 127.0.0.1 -p "$port" -js -sd "$dir/data" >"$dir/server.log" 2>&1 &
echo $! >"$dir/pid"
n=0
until grep -q "Server is ready" "$dir/server.log"; do
	n=$((n + 1))
	if [ $n -gt 100 ] || ! kill -0 "$(cat "$dir/pid")" 2>/dev/null; then
		echo "$0: the server does not answer" >&2
		cat "$dir/server.log" >&2
		exit 1
	fi
	sleep 0.1
done
echo "export $3='nats://127.0.0.1:$port'"
