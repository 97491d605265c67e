#!/bin/sh
# Starts a throw-away Exim beside a Dovecot of .ci/dovecot.sh that runs in DOVECOT, on free
# loopback ports: submission with TLS from the first byte, and with STARTTLS; PLAIN,
# LOGIN, EXTERNAL (client certificate) and XOAUTH2; 8BITMIME, SIZE, DSN. Mail goes into
# the mailboxes of that Dovecot and nowhere else; what has none comes back as a delivery
# status notification. Prints where it is:
#
#	eval "$(.ci/exim.sh DIR DOVECOT)"
#
# Stop it with: .ci/exim.sh DIR stop
set -eu
[ $# -eq 2 ] || { echo "usage: $0 DIR DOVECOT | $0 DIR stop" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
exim=$(command -v exim4 || echo /usr/sbin/exim4)
if [ "$2" = stop ]; then
	pid=$(cat "$dir/exim.pid")
	kill "$pid"
	n=0
	while kill -0 "$pid" 2>/dev/null; do
		n=$((n + 1))
		[ $n -le 100 ] || { echo "$0: the server does not stop" >&2; exit 1; }
		sleep 0.1
	done
	exit 0
fi
dovecot=$(cd "$2" && pwd)
ports=$(python3 -c '
import socket
both = [socket.socket() for _ in range(2)]
for s in both: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in both])')
tls=${ports% *}
starttls=${ports#* }
mkdir -p "$dir/spool" "$dir/log"
# Names of files come from this list, never from what a client says.
sed 's/^\([^:]*\):.*/\1: \1/' "$dovecot/passwd" >"$dir/mailboxes"
cp "$dovecot/server.crt" "$dovecot/server.key" "$dovecot/ca.pem" "$dir"
owner="deliver_drop_privilege = true"
deliver=""
if [ "$(id -u)" = 0 ]; then
	# As Dovecot: mail belongs to nobody.
	owner="exim_user = nobody
exim_group = nogroup"
	deliver="  user = nobody
  group = nogroup"
	chown -R nobody "$dir"
fi
cat >"$dir/exim.conf" <<CONF
$owner
primary_hostname = localhost
spool_directory = $dir/spool
log_file_path = $dir/log/%slog
pid_file_path = $dir/exim.pid
never_users =
keep_environment =
local_interfaces = 127.0.0.1
daemon_smtp_ports = $tls : $starttls
tls_on_connect_ports = $tls
tls_advertise_hosts = *
tls_certificate = $dir/server.crt
tls_privatekey = $dir/server.key
tls_verify_certificates = $dir/ca.pem
tls_try_verify_hosts = *
auth_advertise_hosts = \${if def:tls_in_cipher {*}{}}
dsn_advertise_hosts = *
host_lookup =
rfc1413_hosts =
smtp_enforce_sync = true
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
message_size_limit = 20M
bounce_return_message = false
acl_smtp_rcpt = rcpt

begin acl
rcpt:
  deny
    message = authentication required
    !authenticated = *
  accept
    domains = ch.example : cabinet.example
  deny
    message = relay not permitted

begin routers
mailbox:
  driver = accept
  address_data = \${lookup{\$local_part@\$domain}lsearch{$dir/mailboxes}{\$value}{}}
  condition = \${lookup{\$local_part@\$domain}lsearch{$dir/mailboxes}{yes}{no}}
  transport = maildir

begin transports
maildir:
  driver = appendfile
  directory = $dovecot/mail/\$address_data/Maildir
  create_directory = true
  maildir_format
  return_path_add
  delivery_date_add
$deliver

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = \${if eq{\$auth3}{secret}}
  server_set_id = \$auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = \${if eq{\$auth2}{secret}}
  server_set_id = \$auth1
external:
  driver = external
  public_name = EXTERNAL
  server_advertise_condition = \$tls_in_certificate_verified
  server_condition = \${if or{{eq{\$auth1}{}}{eq{\$auth1}{\${certextract{subject,CN}{\$tls_in_peercert}}}}}}
  server_set_id = \${certextract{subject,CN}{\$tls_in_peercert}}
xoauth2:
  driver = plaintext
  public_name = XOAUTH2
  server_prompts = :
  server_condition = \${if match{\$auth1}{\\N^user=[^\\x01]+\\x01auth=Bearer jeton\\x01\\x01\$\\N}}
  server_set_id = \$auth1
CONF
"$exim" -C "$dir/exim.conf" -bd -q5s >"$dir/start.log" 2>&1 || { cat "$dir/start.log" "$dir"/log/* >&2; exit 1; }
n=0
until python3 -c "import socket; socket.create_connection(('127.0.0.1', $starttls), 1)" 2>/dev/null; do
	n=$((n + 1))
	[ $n -le 100 ] || { echo "$0: the server does not answer" >&2; cat "$dir/start.log" "$dir"/log/* >&2; exit 1; }
	sleep 0.1
done
cat <<LINES
export GREFFE_TEST_SMTP_TLS='127.0.0.1:$tls'
export GREFFE_TEST_SMTP_STARTTLS='127.0.0.1:$starttls'
LINES
