#!/bin/sh
# Starts a throw-away PostgreSQL server in DIR, on a free loopback port, and
# prints the line that tests need:
#
#	eval "$(.ci/postgres.sh DIR)"; go test ./pkg/index/
#
# Stop it with: .ci/postgres.sh DIR stop
set -eu
[ $# -ge 1 ] || { echo "usage: $0 DIR [stop]" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -n "$bin" ] || bin=$(dirname "$(command -v postgres)")

# The server refuses to run as root.
as=""
if [ "$(id -u)" = 0 ]; then
	as="runuser -u postgres --"
	chown postgres "$dir"
fi
cd "$dir"
if [ "${2:-}" = stop ]; then
	$as "$bin/pg_ctl" -D "$dir/data" -m fast stop >&2
	exit 0
fi
if [ ! -d "$dir/data" ]; then
	# Not the "C" locale on purpose: the index must not depend on the server's.
	$as "$bin/initdb" -D "$dir/data" -U greffe --auth=trust -E UTF8 --locale=C.UTF-8 >"$dir/initdb.log" 2>&1
fi
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
$as "$bin/pg_ctl" -D "$dir/data" -w -t 60 -l "$dir/server.log" \
	-o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='$dir' -c max_connections=300" start >&2
echo "export GREFFE_TEST_POSTGRES='postgres://greffe@127.0.0.1:$port/postgres?sslmode=disable'"
