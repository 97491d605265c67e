#!/bin/sh
# Installs and starts a throw-away FHIR R4 server (.ci/fhir, npm, kept in memory) on a
# free loopback port, and prints the lines that tests need:
#
#	eval "$(.ci/fhir.sh DIR)"; go test ./services/integrator -run TestFHIRServer
#
# Stop it with: .ci/fhir.sh DIR stop
set -eu
[ $# -ge 1 ] || { echo "usage: $0 DIR [stop]" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
if [ "${2:-}" = stop ]; then
	kill "$(cat "$dir/pid")" && rm "$dir/pid"
	exit 0
fi
here=$(cd "$(dirname "$0")" && pwd)
cp "$here/fhir/package.json" "$here/fhir/server.mjs" "$dir/"
(cd "$dir" && npm install --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error >npm.log 2>&1) || { cat "$dir/npm.log" >&2; exit 1; }
echo "jeton-du-serveur-d-essai" >"$dir/token"
TOKEN="$dir/token" node "$dir/server.mjs" >"$dir/port" 2>"$dir/server.log" &
echo $! >"$dir/pid"
n=0
until [ -s "$dir/port" ]; do
	n=$((n + 1))
	if [ $n -gt 600 ] || ! kill -0 "$(cat "$dir/pid")" 2>/dev/null; then
		echo "$0: the server does not answer" >&2
		cat "$dir/server.log" >&2
		exit 1
	fi
	sleep 0.1
done
cat <<END
export GREFFE_TEST_FHIR='http://127.0.0.1:$(cat "$dir/port")/fhir'
export GREFFE_TEST_FHIR_TOKEN='$dir/token'
export GREFFE_TEST_FHIR_PATCH='json'
END
