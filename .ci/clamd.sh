#!/bin/sh
# Starts a throw-away clamd that keeps everything in DIR, with a signature base made
# here that holds one signature, of the EICAR test file. Prints where it is:
#
#	eval "$(.ci/clamd.sh DIR)"
#
# Stop it with: .ci/clamd.sh DIR stop
set -eu
[ $# -ge 1 ] || { echo "usage: $0 DIR [stop]" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
clamd=$(command -v clamd || echo /usr/sbin/clamd)
if [ "${2:-}" = stop ]; then
	pid=$(cat "$dir/pid")
	kill "$pid" && rm "$dir/pid"
	n=0
	while kill -0 "$pid" 2>/dev/null; do
		n=$((n + 1))
		[ $n -le 100 ] || { echo "$0: the server does not stop" >&2; exit 1; }
		sleep 0.1
	done
	exit 0
fi
mkdir -p "$dir/base"
# In two halves, so that this file is not taken for malware itself.
python3 - "$dir/base/test.ndb" <<'PY'
import sys
eicar = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
open(sys.argv[1], "w").write("Greffe.Eicar-Test:0:*:" + eicar.encode().hex() + "\n")
PY
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# What passes its limits is never called clean (AlertExceedsMax).
cat >"$dir/clamd.conf" <<CONF
DatabaseDirectory $dir/base
TCPSocket $port
TCPAddr 127.0.0.1
TemporaryDirectory $dir
LogFile $dir/clamd.log
Foreground yes
StreamMaxLength 25M
MaxFileSize 100M
AlertExceedsMax yes
ConcurrentDatabaseReload no
CONF
"$clamd" --config-file="$dir/clamd.conf" >"$dir/start.log" 2>&1 &
echo $! >"$dir/pid"
n=0
until python3 -c "
import socket
s = socket.create_connection(('127.0.0.1', $port), 1)
s.sendall(b'zPING\0')
assert s.recv(5) == b'PONG\0'" 2>/dev/null; do
	n=$((n + 1))
	if [ $n -gt 200 ] || ! kill -0 "$(cat "$dir/pid")" 2>/dev/null; then
		echo "$0: the server does not answer" >&2
		cat "$dir/start.log" >&2
		exit 1
	fi
	sleep 0.1
done
echo "export GREFFE_TEST_CLAMD='127.0.0.1:$port'"
